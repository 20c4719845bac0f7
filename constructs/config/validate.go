package config

import (
	"fmt"
	"net/mail"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// validator finds what no single value shows: values that contradict each other, files that aren't there, names that
// don't fit.
type validator struct {
	problems *Problems
	// malformed is what the decoder found: values that are not to be judged again.
	malformed Problems
	files     projectFiles
}

func (v validator) add(path, got, remedy string) {
	if !v.malformed.touch(path) {
		v.problems.add(path, got, remedy)
	}
}

func (v validator) unknownPipeline(path, name string, names []string) {
	remedy := "the pipelines are " + strings.Join(names, ", ")
	if near := nearest(name, names); near != "" {
		remedy = fmt.Sprintf("did you mean %q? The pipelines are %s", near, strings.Join(names, ", "))
	}
	v.problems.add(path, fmt.Sprintf("there is no pipeline %s to override", quote(name)), remedy)
}

func (v validator) environment(e Environment, n *node) {
	if n.kind != object {
		return
	}
	if v.malformed.touch(n.at("region")) {
		e.Region = "" // Nothing is judged by a region that isn't one.
	}
	v.zones(e.AvailabilityZones, e.Region, n, "availabilityZones")
	switch {
	case e.Network.Create != nil:
		v.createdNetwork(e, n)
	case e.Network.Import != nil:
		v.importedNetwork(*e.Network.Import, e.Region, n)
	}
	switch {
	case e.Database.Provision != nil:
		v.provisionedDatabase(e, n)
	case e.Database.Import != nil:
		v.importedDatabase(e, n)
	}
	v.replica(e, n)
	if e.Architecture == "host" && !e.Network.None {
		v.add(n.at("architecture"), `got "host"`, `write "arm64" or "x86_64": "host" is for an emulator on the machine that deploys, whose environment has "network": {"none": true}`)
	}
	for i, address := range e.Notify.Emails {
		if parsed, err := mail.ParseAddress(address); err != nil || parsed.Address != address {
			v.add(n.at("notify", "emails", i), "got "+quote(address), "write an e-mail address alone, such as team@example.com")
		}
	}
	v.twice(e.Notify.Emails, n, "notify", "emails")
	v.twice(e.Notify.Outcomes, n, "notify", "outcomes")
	v.approval(e, n)
	if e.ClockSeconds%secondsOfAMinute != 0 {
		v.add(n.at("clockSeconds"), fmt.Sprintf("got %d", e.ClockSeconds), "write a multiple of 60: EventBridge's rates are whole minutes")
	}
}

func (v validator) zones(zones []string, region string, n *node, path ...any) {
	for i, zone := range zones {
		letter, ok := strings.CutPrefix(zone, region)
		if region != "" && (!ok || len(letter) != 1 || letter[0] < 'a' || letter[0] > 'z') {
			v.add(n.at(append(path, i)...), "got "+quote(zone), fmt.Sprintf("write a zone of the region %s, such as %[1]sa", region))
		}
	}
	v.twice(zones, n, path...)
}

// twice finds what is in a list of names more than once.
func (v validator) twice(list []string, n *node, path ...any) {
	for i, item := range list {
		if slices.Contains(list[:i], item) {
			v.add(n.at(append(slices.Clone(path), i)...), "got "+quote(item)+" a second time", "take one of them out")
		}
	}
}

func (v validator) createdNetwork(e Environment, n *node) {
	const widest, narrowest = 16, 24
	create := e.Network.Create
	path := n.at("network", "create", "cidr")
	prefix, err := netip.ParsePrefix(create.CIDR)
	switch {
	case err != nil || !prefix.Addr().Is4():
		v.add(path, "got "+quote(create.CIDR), "write an IPv4 network, such as 10.40.0.0/20")
	case prefix != prefix.Masked():
		v.add(path, "got "+quote(create.CIDR), fmt.Sprintf("write the network's first address: %s", prefix.Masked()))
	case prefix.Bits() < widest || prefix.Bits() > narrowest:
		v.add(path, "got "+quote(create.CIDR), fmt.Sprintf("write a network from /%d (Amazon VPC's limit) to /%d (room for the subnets of each zone)", widest, narrowest))
	}
	if len(e.AvailabilityZones) == 0 {
		v.add(n.at("availabilityZones"), "is missing", fmt.Sprintf("a created network needs its zones here, as nothing is looked up in AWS: two of the region, such as %sa", e.Region))
	}
	if len(e.AvailabilityZones) > 0 && create.NATGateways > len(e.AvailabilityZones) {
		v.add(n.at("network", "create", "natGateways"), fmt.Sprintf("got %d", create.NATGateways), fmt.Sprintf("write at most %d, one for each of availabilityZones", len(e.AvailabilityZones)))
	}
}

func (v validator) importedNetwork(network ImportNetwork, region string, n *node) {
	path := func(key string) []any { return []any{"network", "import", key} }
	v.zones(network.AvailabilityZones, region, n, path("availabilityZones")...)
	v.twice(network.PrivateSubnetIDs, n, path("privateSubnetIds")...)
	subnets := len(network.PrivateSubnetIDs)
	if subnets > 0 && len(network.AvailabilityZones) > 0 && subnets != len(network.AvailabilityZones) {
		v.add(n.at(path("privateSubnetIds")...), fmt.Sprintf("got %d subnets for %d zones", subnets, len(network.AvailabilityZones)),
			"write one private subnet for each of availabilityZones, in the same order")
	}
	tables := len(network.PrivateSubnetRouteTableIDs)
	switch {
	case tables == 0 && !network.EndpointsExist:
		v.add(n.at(path("privateSubnetRouteTableIds")...), "is missing",
			`write the subnets' route tables, for the endpoint of S3; or "endpointsExist": true where the VPC has its endpoints`)
	case tables > 0 && tables != subnets:
		v.add(n.at(path("privateSubnetRouteTableIds")...), fmt.Sprintf("got %d route tables for %d subnets", tables, subnets),
			"write the route table of each of privateSubnetIds, in the same order; subnets may share one")
	}
}

const secondsOfAMinute = 60

// masterSecret begins the names that RDS gives to the secrets of master users.
const masterSecret = "rds!"

const masterSecretRemedy = "write the secret of the read-only login that queries/grants/export-login.sql makes: an export never logs in as the master user"

func (v validator) provisionedDatabase(e Environment, n *node) {
	const zonesOfSubnetGroup = 2
	database := e.Database.Provision
	path := func(key string) string { return n.at("database", "provision", key) }
	zones, at := 0, n.at("availabilityZones")
	switch {
	case e.Network.outsideVPC():
		v.add(n.at("database", "provision"), "has no network to be in", "give the environment a network: create or import one")
	case e.Network.Create != nil:
		zones = len(e.AvailabilityZones)
	case e.Network.Import != nil:
		zones, at = len(e.Network.Import.PrivateSubnetIDs), n.at("network", "import", "privateSubnetIds")
	}
	if zones > 0 && zones < zonesOfSubnetGroup {
		v.add(at, fmt.Sprintf("got %d", zones), fmt.Sprintf("write at least %d: RDS wants subnets in two zones, also for a database in one", zonesOfSubnetGroup))
	}
	if database.MultiAZ && database.Engine == "sqlserver-ex" {
		v.add(path("multiAz"), "got true", "write false, or another engine: the Express edition has no standby")
	}
	if strings.HasPrefix(database.ExportSecretName, masterSecret) {
		v.add(path("exportSecretName"), "got "+quote(database.ExportSecretName), masterSecretRemedy)
	}
}

func (v validator) replica(e Environment, n *node) {
	r := e.Database.Replica
	if r == nil {
		return
	}
	path := n.at("database", "replica", "host")
	switch primary := e.Database.Import; {
	case !hostName.MatchString(r.Host):
		v.add(path, "got "+quote(r.Host), "write a host name alone, such as replica.example.com; the port has a key of its own")
	case primary != nil && strings.EqualFold(primary.Host, r.Host) && primary.Port == r.Port:
		v.add(path, "got "+quote(r.Host)+", the primary's own address", "write the read replica's address, or leave the replica out")
	}
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

func (v validator) importedDatabase(e Environment, n *node) {
	database := e.Database.Import
	path := func(key string) string { return n.at("database", "import", key) }
	if database.Host != "" && !hostName.MatchString(database.Host) {
		v.add(path("host"), "got "+quote(database.Host), "write a host name alone, such as sqlserver.example.com; the port has a key of its own")
	}
	if database.SecurityGroupID != "" && e.Network.outsideVPC() {
		v.add(path("securityGroupId"), "got "+quote(database.SecurityGroupID), "leave it out: a function outside any VPC has no security group that it could let in")
	}
	if strings.HasPrefix(database.SecretName, masterSecret) {
		v.add(path("secretName"), "got "+quote(database.SecretName), masterSecretRemedy)
	}
	if database.SecretARN == "" {
		return
	}
	// arn:partition:secretsmanager:region:account:secret:name
	arn := strings.SplitN(database.SecretARN, ":", 7)
	if len(arn) == 7 && strings.HasPrefix(arn[6], masterSecret) {
		v.add(path("secretArn"), "got "+quote(database.SecretARN), masterSecretRemedy)
	}
	if len(arn) == 7 && e.Region != "" && arn[3] != e.Region {
		v.add(path("secretArn"), "got "+quote(database.SecretARN), fmt.Sprintf("write a secret in the environment's region %s: replicate it there", e.Region))
	}
}

func (v validator) pipeline(p *Pipeline, n *node) {
	if n.kind != object {
		return
	}
	if remedy := checkSchedule(p.Schedule.Expression); remedy != "" {
		v.add(n.at("schedule", "expression"), "got "+quote(p.Schedule.Expression), remedy)
	}
	if remedy := checkTimeZone(p.Schedule.TimeZone); remedy != "" {
		v.add(n.at("schedule", "timeZone"), "got "+quote(p.Schedule.TimeZone), remedy)
	}
	v.source(&p.Source, n)
	v.dataset(p, n)
	v.export(p, n)
	v.quality(p, n)
	v.training(p, n)
	v.gate(p, n)
	v.endpoint(p, n)
	v.clocks(p, n)
}

// LongestPrefix is the most characters that <project>-<environment>-<pipeline> may have: SageMaker's names have 63
// (CreateTrainingJob, CreateModel, CreateEndpointConfig), of which a run takes a hyphen, its id and a suffix for its
// attempt, such as -a12. EventBridge Scheduler's and Lambda's limit of 64 holds with it.
const LongestPrefix = 63 - 1 - run.IDLength - len("-a12")

var (
	properName   = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	notInNames   = regexp.MustCompile(`[^a-z0-9]+`)
	nameForm     = "lower-case letters, digits and single hyphens, beginning with a letter"
	ownPipelines = []string{"foundation"} // the stateful stack's name
)

// names checks the names of environments and pipelines, alone and together.
func (v validator) names(c *Config, root *node) {
	environments, pipelines := root.member("environments"), root.member("pipelines")
	for _, m := range membersOf(environments) {
		v.name(m)
		if len(m.key) == 1 {
			v.problems.add(m.value.path, "the name "+quote(m.key)+" has one letter", "write at least two: the CDK wants them for a stage")
		}
	}
	for _, m := range membersOf(pipelines) {
		v.name(m)
		if slices.Contains(ownPipelines, m.key) {
			v.problems.add(m.value.path, "the name "+quote(m.key)+" is taken", "write another: the stack with bucket, key and network has that name")
		}
		v.length(c, m)
	}
	v.collisions(c, root)
}

func membersOf(n *node) []member {
	if n == nil {
		return nil
	}
	return n.members
}

func (v validator) name(m member) {
	if properName.MatchString(m.key) {
		return
	}
	remedy := "write " + nameForm
	if better := properly(m.key); better != "" {
		remedy += ", such as " + quote(better)
	}
	v.problems.add(m.value.path, "the name "+quote(m.key)+" doesn't fit", remedy)
}

// properly makes a name that fits from one that doesn't; "" where nothing is left.
func properly(name string) string {
	name = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(name), "-"), "-")
	return strings.TrimLeft(name, "0123456789-")
}

// length reports a pipeline whose longest name has no room for a run.
func (v validator) length(c *Config, m member) {
	longest := ""
	for environment, pipelines := range c.merged {
		if _, enabled := pipelines[m.key]; !enabled {
			continue
		}
		name := pipeline.Name(c.Project, environment, m.key)
		if len(name) > len(longest) || len(name) == len(longest) && name < longest {
			longest = name
		}
	}
	if over := len(longest) - LongestPrefix; over > 0 {
		v.problems.add(m.value.path, fmt.Sprintf("becomes %s with %d characters", quote(longest), len(longest)),
			fmt.Sprintf("shorten the project's, the environment's or the pipeline's name by %d: SageMaker's names have 63 characters, and a run needs %d of them", over, 63-LongestPrefix))
	}
}

// collisions finds pipelines that would have one name in SageMaker: "Fraud" beside "fraud", or the pipeline b of the
// environment dev-a beside the pipeline a-b of dev in the same account and region.
func (v validator) collisions(c *Config, root *node) {
	owners := map[string]string{}
	for _, environment := range membersOf(root.member("environments")) {
		e := c.Environments[environment.key]
		for _, p := range membersOf(root.member("pipelines")) {
			if _, enabled := c.merged[environment.key][p.key]; !enabled {
				continue
			}
			name := properly(pipeline.Name(c.Project, environment.key, p.key))
			place := e.Account + " " + e.Region + " " + name
			owner, taken := owners[place]
			switch {
			case !taken:
				owners[place] = environment.value.path + " with " + p.value.path
			case strings.HasPrefix(owner, environment.value.path+" with "):
				v.problems.add(p.value.path, fmt.Sprintf("becomes %q, as does %s", name, strings.TrimPrefix(owner, environment.value.path+" with ")), "write names that stay different in lower case with hyphens")
			default:
				v.problems.add(p.value.path, fmt.Sprintf("becomes %q in %s, as does %s", name, environment.value.path, owner), "change one of the names, or use another account or region")
			}
		}
	}
}
