package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"sagemaker-datapipeline/constructs/config"
	"sagemaker-datapipeline/lambda/examine"
	"sagemaker-datapipeline/lambda/findings"
)

// preflight checks what a deploy and the first runs need and a template can't know: the account, its quotas, the secret, the network, the way to
// the database and the login's rights there. It changes nothing.
func preflight(ctx context.Context, o options, s *site, out io.Writer) error {
	_, pipelines, err := s.config.For(o.environment)
	if err != nil {
		return err
	}
	if s.pipeline != "" {
		pipelines = map[string]config.Pipeline{s.pipeline: pipelines[s.pipeline]}
	}
	f := &flight{site: s, pipelines: pipelines, report: findings.Report{Pipeline: s.config.Project + "-" + o.environment, At: time.Now().UTC().Truncate(time.Second)}}
	if f.account(ctx) {
		f.bootstrap(ctx)
		f.quotas(ctx)
		f.network(ctx)
		if f.secret(ctx) {
			f.sources(ctx)
		}
	}
	if o.json {
		answer, err := json.Marshal(f.report)
		if err != nil {
			return fmt.Errorf("encoding the report: %w", err)
		}
		if err := show(out, true, answer); err != nil {
			return err
		}
	} else if _, err := io.WriteString(out, f.report.Text()); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	if f.report.Worst() == findings.Error {
		return &answerError{"a deploy or the first runs would fail: " + f.report.Summary()}
	}
	return nil
}

// flight is a preflight on its way.
type flight struct {
	*site
	pipelines map[string]config.Pipeline
	report    findings.Report
}

func (f *flight) add(check string, severity findings.Severity, found, remedy string) {
	f.report.Findings = append(f.report.Findings, findings.Finding{Check: check, Severity: severity, Found: found, Remedy: remedy})
}

// unseen is for what these credentials may not look at, or this AWS doesn't have.
func (f *flight) unseen(check, action string, err error) {
	f.add(check, findings.Warning, "it could not be looked at: "+err.Error(), "look yourself, or come back with credentials that may call "+action)
}

// account says whether the credentials are of the environment's account. Whatever else they see is another's.
func (f *flight) account(ctx context.Context) bool {
	who, err := sts.NewFromConfig(f.sdk).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		f.add("account", findings.Error, "AWS doesn't say whose credentials these are: "+err.Error(), "log in again (aws sso login)")
		return false
	}
	if got := aws.ToString(who.Account); got != f.settings.Account {
		f.add("account", findings.Error, fmt.Sprintf("the credentials are of account %s, and %s is account %s", got, f.environment, f.settings.Account),
			"take credentials of that account (AWS_PROFILE), or correct the environment's account")
		return false
	}
	f.add("account", findings.OK, fmt.Sprintf("%s as %s, region %s", f.settings.Account, aws.ToString(who.Arn), f.settings.Region), "")
	return true
}

// The CDK's own bootstrap: the parameter is by its default qualifier, and version 6 is what a deploy by roles needs. Source: the CDK developer guide,
// "Bootstrap template versions".
const (
	bootstrapParameter = "/cdk-bootstrap/hnb659fds/version"
	bootstrapVersion   = 6
)

func (f *flight) bootstrap(ctx context.Context) {
	remedy := fmt.Sprintf("npx cdk bootstrap aws://%s/%s", f.settings.Account, f.settings.Region)
	p, err := ssm.NewFromConfig(f.sdk).GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(bootstrapParameter)})
	if _, missing := errors.AsType[*ssmtypes.ParameterNotFound](err); missing {
		f.add("bootstrap", findings.Error, "the account isn't bootstrapped for the CDK in this region", remedy)
		return
	}
	if err != nil {
		f.unseen("bootstrap", "ssm:GetParameter on "+bootstrapParameter, err)
		return
	}
	version, err := strconv.Atoi(aws.ToString(p.Parameter.Value))
	if err != nil || version < bootstrapVersion {
		f.add("bootstrap", findings.Error, fmt.Sprintf("the bootstrap has version %q, and a deploy needs %d", aws.ToString(p.Parameter.Value), bootstrapVersion), remedy)
		return
	}
	f.add("bootstrap", findings.OK, fmt.Sprintf("version %d", version), "")
}

// demand is how many machines of a quota the pipelines use at once.
type demand struct {
	machines int
	by       []string
}

// needs are the machines by the name of their quota, as Service Quotas writes it.
func needs(pipelines map[string]config.Pipeline) map[string]demand {
	all := map[string]demand{}
	need := func(pipeline, quota string, machines int) {
		d := all[quota]
		all[quota] = demand{d.machines + machines, append(d.by, pipeline)}
	}
	for _, name := range slices.Sorted(maps.Keys(pipelines)) {
		for _, m := range machinesOf(pipelines[name]) {
			need(name, m.instanceType+" for "+m.usage, m.count)
		}
	}
	return all
}

func (f *flight) quotas(ctx context.Context) {
	wanted := needs(f.pipelines)
	if len(wanted) == 0 {
		return
	}
	found := map[string]float64{}
	client := servicequotas.NewFromConfig(f.sdk)
	pages := servicequotas.NewListServiceQuotasPaginator(client, &servicequotas.ListServiceQuotasInput{ServiceCode: aws.String("sagemaker")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			f.unseen("quotas", "servicequotas:ListServiceQuotas", err)
			return
		}
		for _, q := range page.Quotas {
			found[aws.ToString(q.QuotaName)] = aws.ToFloat64(q.Value)
		}
	}
	for _, quota := range slices.Sorted(maps.Keys(wanted)) {
		d := wanted[quota]
		by := strings.Join(d.by, ", ")
		value, ok := found[quota]
		switch {
		case !ok:
			f.add("quotas", findings.Warning, fmt.Sprintf("SageMaker has no quota %q here: is the type offered in %s? (%s)", quota, f.settings.Region, by),
				"see the types of the region, and correct instanceType")
		case value < float64(d.machines) && d.machines > 1 && value >= 1:
			f.add("quotas", findings.Warning, fmt.Sprintf("%q is %g, and the pipelines use up to %d at once (%s): some will wait", quota, value, d.machines, by),
				"ask for more in Service Quotas, SageMaker")
		case value < float64(d.machines):
			f.add("quotas", findings.Error, fmt.Sprintf("%q is %g, and %s needs %d", quota, value, by, d.machines), "ask for more in Service Quotas, SageMaker; it can take days")
		default:
			f.add("quotas", findings.OK, fmt.Sprintf("%q is %g, needed %d (%s)", quota, value, d.machines, by), "")
		}
	}
}

// network looks whether what the configuration says of a VPC is so.
func (f *flight) network(ctx context.Context) {
	in := f.settings.Network.Import
	if in == nil {
		return
	}
	client := ec2.NewFromConfig(f.sdk)
	subnets, err := client.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: in.PrivateSubnetIDs})
	if refused, ok := errors.AsType[smithy.APIError](err); ok && strings.HasPrefix(refused.ErrorCode(), "InvalidSubnet") {
		f.add("network", findings.Error, refused.ErrorMessage(), "correct network.import.privateSubnetIds")
		return
	}
	if err != nil {
		f.unseen("network", "ec2:DescribeSubnets", err)
		return
	}
	byID := map[string]ec2types.Subnet{}
	for _, subnet := range subnets.Subnets {
		byID[aws.ToString(subnet.SubnetId)] = subnet
	}
	for i, id := range in.PrivateSubnetIDs {
		subnet, ok := byID[id]
		zone := ""
		if i < len(in.AvailabilityZones) {
			zone = in.AvailabilityZones[i]
		}
		switch {
		case !ok:
			f.add("network", findings.Error, fmt.Sprintf("there is no subnet %s", id), "correct network.import.privateSubnetIds")
		case aws.ToString(subnet.VpcId) != in.VPCID:
			f.add("network", findings.Error, fmt.Sprintf("subnet %s is in %s, not in %s", id, aws.ToString(subnet.VpcId), in.VPCID), "correct network.import")
		case zone != aws.ToString(subnet.AvailabilityZone):
			f.add("network", findings.Error, fmt.Sprintf("subnet %s is in zone %s, and the configuration says %q", id, aws.ToString(subnet.AvailabilityZone), zone), "put the zones into the order of the subnets")
		case aws.ToInt32(subnet.AvailableIpAddressCount) < freeAddresses:
			f.add("network", findings.Warning, fmt.Sprintf("subnet %s has %d free addresses", id, aws.ToInt32(subnet.AvailableIpAddressCount)), "functions, jobs and endpoint machines take one each: name a larger subnet too")
		default:
			f.add("network", findings.OK, fmt.Sprintf("subnet %s is in %s, zone %s, with %d free addresses", id, in.VPCID, zone, aws.ToInt32(subnet.AvailableIpAddressCount)), "")
		}
	}
	f.names(ctx, client, in.VPCID)
}

// freeAddresses is room for functions, a job and an endpoint's update.
const freeAddresses = 16

// names looks whether the VPC resolves names: private names of VPC endpoints need both attributes.
func (f *flight) names(ctx context.Context, client *ec2.Client, vpc string) {
	for attribute, get := range map[ec2types.VpcAttributeName]func(*ec2.DescribeVpcAttributeOutput) *ec2types.AttributeBooleanValue{
		ec2types.VpcAttributeNameEnableDnsSupport:   func(o *ec2.DescribeVpcAttributeOutput) *ec2types.AttributeBooleanValue { return o.EnableDnsSupport },
		ec2types.VpcAttributeNameEnableDnsHostnames: func(o *ec2.DescribeVpcAttributeOutput) *ec2types.AttributeBooleanValue { return o.EnableDnsHostnames },
	} {
		out, err := client.DescribeVpcAttribute(ctx, &ec2.DescribeVpcAttributeInput{VpcId: &vpc, Attribute: attribute})
		if err != nil {
			f.unseen("network", "ec2:DescribeVpcAttribute", err)
			continue
		}
		if value := get(out); value == nil || !aws.ToBool(value.Value) {
			f.add("network", findings.Error, fmt.Sprintf("%s has %s off: the private names of VPC endpoints don't resolve", vpc, attribute), "switch it on")
		}
	}
}

// secret says whether the secret with the login is there. Its text is read by the examination of the sources, and shown nowhere.
func (f *flight) secret(ctx context.Context) bool {
	id := f.database().SecretID
	_, err := secretsmanager.NewFromConfig(f.sdk).DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &id})
	api, refused := errors.AsType[smithy.APIError](err)
	switch {
	case err == nil:
		f.add("secret", findings.OK, id+" is there", "")
		return true
	case refused && api.ErrorCode() == "ResourceNotFoundException":
		f.add("secret", findings.Error, fmt.Sprintf("there is no secret %s in account %s, region %s", id, f.settings.Account, f.settings.Region),
			"create it with the login that queries/grants/export-login.sql makes; its structure is in docs/export.md")
	default:
		f.unseen("secret", "secretsmanager:DescribeSecret on "+id, err)
	}
	return false
}

// database is where the environment's database is.
func (f *flight) database() examine.Database {
	d := f.settings.Database
	var at examine.Database
	if p := d.Provision; p != nil {
		at = examine.Database{SecretID: p.ExportSecretName, Name: p.Name}
	}
	if i := d.Import; i != nil {
		at = examine.Database{SecretID: i.SecretName, Host: i.Host, Name: i.Name}
		if at.SecretID == "" {
			at.SecretID = i.SecretARN
		}
		if i.Port != 0 {
			at.Port = strconv.Itoa(i.Port)
		}
	}
	if r := d.Replica; r != nil {
		at.ReplicaHost, at.ReplicaPort = r.Host, strconv.Itoa(r.Port)
	}
	return at
}

// sourceTime bounds the examination of one pipeline's source.
const sourceTime = 60 * time.Second

// sources examines the database as the doctor does. Databases are in private subnets: that this machine doesn't reach one says nothing of the function.
func (f *flight) sources(ctx context.Context) {
	at := f.database()
	if f.settings.Database.Provision != nil && at.Host == "" {
		f.add("source", findings.Warning, "the database is made by the deploy, so there is nothing to look at yet", "the doctor looks when the pipelines are deployed: datapipeline doctor")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(f.pipelines)) {
		spec, err := f.pipelines[name].Spec(f.config.Project, f.environment, name)
		if err != nil {
			f.add(name, findings.Error, err.Error(), "")
			continue
		}
		within, cancel := context.WithTimeout(ctx, sourceTime)
		report, err := examine.Source(within, f.sdk, spec, at)
		cancel()
		if err != nil {
			f.add(name, findings.Warning, "its source could not be examined from this machine: "+err.Error(), "the doctor looks from the function's place when the pipeline is deployed: datapipeline doctor")
			continue
		}
		for _, one := range report.Findings {
			if one.Check == "connection" && one.Severity == findings.Error && f.settings.Network.Import != nil {
				one.Severity = findings.Warning
				one.Remedy = strings.TrimSpace(one.Remedy + " If only this machine doesn't reach it: the doctor looks from the function's place when the pipeline is deployed.")
			}
			one.Check = name + ": " + one.Check
			f.report.Findings = append(f.report.Findings, one)
		}
	}
}
