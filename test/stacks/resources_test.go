package stacks

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// stateful are the logical ids that must never change: CloudFormation replaces a resource whose id is another, and with it
// the data. docs/architecture.md lists them for people. A new one is added here; none is ever edited or removed while an
// environment that has it exists.
var stateful = map[string][]string{
	"dev": {
		"AWS::EC2::Subnet NetworkVpcprivateSubnet1Subnet9EC58498",
		"AWS::EC2::Subnet NetworkVpcprivateSubnet2Subnet6E5E8804",
		"AWS::EC2::VPC NetworkVpc7FB7348F",
		"AWS::KMS::Key DataLakeKey6ACD72F9",
		"AWS::RDS::DBInstance DatabaseInstanceAA8A5FDE",
		"AWS::S3::Bucket DataLakeBucketEF1CCA5A",
		"AWS::SNS::Topic NoticesAlarms909B3F5C",
		"AWS::SNS::Topic NoticesTopic898AF2CD",
		"AWS::SecretsManager::Secret DatabaseExportSecret0573C3BF",
	},
	"staging": {"AWS::KMS::Key DataLakeKey6ACD72F9", "AWS::S3::Bucket DataLakeBucketEF1CCA5A", "AWS::SNS::Topic NoticesAlarms909B3F5C", "AWS::SNS::Topic NoticesTopic898AF2CD"},
	"prod":    {"AWS::KMS::Key DataLakeKey6ACD72F9", "AWS::S3::Bucket DataLakeBucketEF1CCA5A", "AWS::SNS::Topic NoticesAlarms909B3F5C", "AWS::SNS::Topic NoticesTopic898AF2CD"},
	"local":   {"AWS::KMS::Key DataLakeKey6ACD72F9", "AWS::S3::Bucket DataLakeBucketEF1CCA5A", "AWS::SNS::Topic NoticesAlarms909B3F5C", "AWS::SNS::Topic NoticesTopic898AF2CD"},
}

// onlyExports is the pipeline of cdk.json without training and endpoint.
const onlyExports = "sales"

func TestAPipelineThatOnlyExportsHasNothingToTrainWith(t *testing.T) {
	tpl := templates["prod"][onlyExports]
	if got := len(tpl.of("AWS::StepFunctions::StateMachine")); got != 1 {
		t.Errorf("%d state machines, want that of large exports alone", got)
	}
	if got := text(tpl); strings.Contains(got, "sagemaker.amazonaws.com") || strings.Contains(got, `"sagemaker:`) {
		t.Error("something may call SageMaker, or be called by it")
	}
	function := tpl.only(t, "AWS::Lambda::Function", "PipelineExport")
	if got := function.at("Environment", "Variables", "STATE_MACHINE_ARN"); got != nil {
		t.Errorf("the export would start %v", got)
	}
}

func TestAFunctionKnowsTheStateMachineThatIsMadeAfterIt(t *testing.T) {
	each(t, func(t *testing.T, environment, stack string, tpl template) {
		if stack == "Foundation" {
			return
		}
		machine := tpl.only(t, "AWS::StepFunctions::StateMachine", "PipelineExportMap")
		name := "ml-" + environment + "-" + stack + "-export"
		if got := machine.at("StateMachineName"); got != name {
			t.Errorf("the state machine is called %v, want %s", got, name)
		}
		function := tpl.only(t, "AWS::Lambda::Function", "PipelineExport")
		if got := text(function.at("Environment", "Variables", "EXPORT_MACHINE_ARN")); !strings.HasSuffix(got, ":stateMachine:"+name+`"`) {
			t.Errorf("the export would hand over to %s", got)
		}
	})
}

func TestTheDoctorComesWithEachDeployment(t *testing.T) {
	each(t, func(t *testing.T, _, stack string, tpl template) {
		if stack == "Foundation" {
			return
		}
		rule := tpl.only(t, "AWS::Events::Rule", "PipelineExportDoctor")
		want := `{"detail":{"stack-id":[{"Ref":"AWS::StackId"}],"status-details":{"status":["CREATE_COMPLETE","UPDATE_COMPLETE"]}},` +
			`"detail-type":["CloudFormation Stack Status Change"],"source":["aws.cloudformation"]}`
		if got := text(rule.at("EventPattern")); got != want {
			t.Errorf("the rule waits for %s, want %s", got, want)
		}
		if got := text(rule.at("Targets")); !strings.Contains(got, "PipelineExportFunction") {
			t.Errorf("the rule invokes %s", got)
		}
		permission := tpl.only(t, "AWS::Lambda::Permission", "PipelineExportFunctionInvokedByDoctor")
		if got := text(permission.at("SourceArn")); !strings.Contains(got, "PipelineExportDoctor") || permission.at("Principal") != "events.amazonaws.com" {
			t.Errorf("%s may invoke the export for %s, want the doctor's rule alone", permission.at("Principal"), got)
		}
	})
}

var statefulTypes = []string{
	"AWS::EC2::Subnet", "AWS::EC2::VPC", "AWS::KMS::Key", "AWS::RDS::DBInstance", "AWS::S3::Bucket", "AWS::SNS::Topic",
	"AWS::SageMaker::ModelPackageGroup", "AWS::SecretsManager::Secret",
}

func TestStatefulResourcesKeepTheirLogicalIDs(t *testing.T) {
	page, err := os.ReadFile(root + "/docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, environment, stack string, tpl template) {
		var got []string
		for id, r := range tpl.Resources {
			if slices.Contains(statefulTypes, r.Type) {
				got = append(got, r.Type+" "+id)
				if !strings.Contains(string(page), "`"+id+"`") {
					t.Errorf("docs/architecture.md doesn't list %s %s", r.Type, id)
				}
			}
		}
		slices.Sort(got)
		want := []string{"AWS::SageMaker::ModelPackageGroup PipelineModelPackagesD38B0553"} // else a pipeline's stack holds nothing that can't be made again
		switch stack {
		case "Foundation":
			want = stateful[environment]
		case onlyExports:
			want = nil
		}
		if !slices.Equal(got, want) {
			t.Errorf("the stateful resources are\n\t%s\nwant\n\t%s\nCloudFormation would replace what changed its id, and lose what it holds", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
	})
}

func TestDataIsKeptUnlessTheEnvironmentSaysOtherwise(t *testing.T) {
	for environment, want := range map[string]string{"dev": "Delete", "local": "Delete", "staging": "Retain", "prod": "Retain"} {
		tpl := templates[environment]["Foundation"]
		for _, kind := range []string{"AWS::S3::Bucket", "AWS::KMS::Key"} {
			r := tpl.only(t, kind, "DataLake")
			if r.DeletionPolicy != want || r.UpdateReplacePolicy != want {
				t.Errorf("%s: %s is handled by %s/%s, want %s", environment, kind, r.DeletionPolicy, r.UpdateReplacePolicy, want)
			}
		}
	}
}

func TestTheBucketGuardsItsObjects(t *testing.T) {
	for environment, stacks := range templates {
		t.Run(environment, func(t *testing.T) {
			tpl := stacks["Foundation"]
			bucket := tpl.only(t, "AWS::S3::Bucket", "")
			for _, c := range []struct {
				what string
				path []string
				want string
			}{
				{"keeps versions", []string{"VersioningConfiguration"}, `{"Status":"Enabled"}`},
				{"is encrypted by its own key", []string{"BucketEncryption", "ServerSideEncryptionConfiguration"},
					`[{"BucketKeyEnabled":true,"ServerSideEncryptionByDefault":{"KMSMasterKeyID":{"Fn::GetAtt":["DataLakeKey6ACD72F9","Arn"]},"SSEAlgorithm":"aws:kms"}}]`},
				{"is never public", []string{"PublicAccessBlockConfiguration"},
					`{"BlockPublicAcls":true,"BlockPublicPolicy":true,"IgnorePublicAcls":true,"RestrictPublicBuckets":true}`},
				{"knows no ACLs", []string{"OwnershipControls"}, `{"Rules":[{"ObjectOwnership":"BucketOwnerEnforced"}]}`},
				{"removes leftovers, and keeps what says what was committed for a year", []string{"LifecycleConfiguration"},
					`{"Rules":[{"AbortIncompleteMultipartUpload":{"DaysAfterInitiation":2},"ExpiredObjectDeleteMarker":true,"Id":"remove-leftovers","NoncurrentVersionExpiration":{"NoncurrentDays":365},"Status":"Enabled"},` +
						`{"Id":"remove-deleted-data","NoncurrentVersionExpiration":{"NoncurrentDays":30},"ObjectSizeGreaterThan":"8388608","Status":"Enabled"}]}`},
			} {
				if got := text(bucket.at(c.path...)); got != c.want {
					t.Errorf("a bucket that %s: %v is\n%s, want\n%s", c.what, c.path, got, c.want)
				}
			}
			policy := text(tpl.only(t, "AWS::S3::BucketPolicy", "").Properties)
			for _, want := range []string{
				`"Action":"s3:*","Condition":{"Bool":{"aws:SecureTransport":"false"}},"Effect":"Deny","Principal":{"AWS":"*"}`,
				`"Action":"s3:*","Condition":{"NumericLessThan":{"s3:TlsVersion":1.2}},"Effect":"Deny","Principal":{"AWS":"*"}`,
			} {
				if !strings.Contains(policy, want) {
					t.Errorf("the bucket's policy doesn't hold %s:\n%s", want, policy)
				}
			}
			key := tpl.only(t, "AWS::KMS::Key", "")
			if key.at("EnableKeyRotation") != true {
				t.Error("the key isn't rotated")
			}
		})
	}
}

func TestFunctionsHaveTheirLimits(t *testing.T) {
	each(t, func(t *testing.T, environment, stack string, tpl template) {
		if stack == "Foundation" {
			return
		}
		timeouts := map[string]float64{"PipelineExport": 900, "PipelineNotify": 30, "PipelineClock": 30}
		if stack != onlyExports {
			timeouts["PipelineEvaluate"], timeouts["PipelineRelease"] = 900, 300
		}
		for prefix, timeout := range timeouts {
			f := tpl.only(t, "AWS::Lambda::Function", prefix)
			if got := f.at("Runtime"); got != "provided.al2023" {
				t.Errorf("%s has the runtime %v", prefix, got)
			}
			if got := text(f.at("Architectures")); environment != "local" && got != `["arm64"]` {
				t.Errorf("%s is for %s, want arm64", prefix, got)
			}
			if got := f.at("Timeout"); got != timeout {
				t.Errorf("%s has %v s, want %v", prefix, got, timeout)
			}
			// Lambda's limit is 4 KB of names and values; a reference becomes an ARN of at most some hundred bytes.
			if size := len(text(f.at("Environment", "Variables"))); size > 2048 {
				t.Errorf("%s has %d bytes of environment variables", prefix, size)
			}
		}
		retries := tpl.only(t, "AWS::Lambda::EventInvokeConfig", "PipelineExport")
		if got := text(retries.at("DestinationConfig", "OnFailure", "Destination")); !strings.Contains(got, "PipelineNotifyFunction") {
			t.Errorf("an export that is given up goes to %s, want the notify function", got)
		}
		wantAttempts, wantAge := 2.0, 3600.0
		if stack == "demand" || stack == "sales" { // the next tick comes before a retry would help
			wantAttempts, wantAge = 0, 300
		}
		if attempts, age := retries.at("MaximumRetryAttempts"), retries.at("MaximumEventAgeInSeconds"); attempts != wantAttempts || age != wantAge {
			t.Errorf("Lambda retries %v times within %v s, want %v and %v", attempts, age, wantAttempts, wantAge)
		}
	})
}

func TestLogsAreNotKeptForEver(t *testing.T) {
	want := map[string]float64{"dev": 14, "staging": 30, "prod": 90, "local": 1}
	each(t, func(t *testing.T, environment, _ string, tpl template) {
		for id, group := range tpl.of("AWS::Logs::LogGroup") {
			if got := group.at("RetentionInDays"); got != want[environment] {
				t.Errorf("%s keeps logs for %v days, want %v", id, got, want[environment])
			}
		}
		for id, f := range tpl.of("AWS::Lambda::Function") {
			if strings.HasPrefix(id, "Custom") {
				continue // functions of the CDK that run once in a deployment and can't be given a log group
			}
			if f.at("LoggingConfig", "LogGroup") == nil {
				t.Errorf("%s logs to a group that Lambda makes, which has no retention", id)
			}
		}
	})
}

func TestSchedulesAreBounded(t *testing.T) {
	expressions := map[string]map[string]string{
		"dev":   {"fraud": "cron(0 3 * * ? *) Europe/Berlin", "churn": "cron(0 4 ? * MON *) Europe/Berlin", "demand": "rate(1 hour) UTC", "sales": "rate(1 hour) UTC"},
		"prod":  {"fraud": "cron(0 3 * * ? *) Europe/Berlin", "churn": "cron(0 4 ? * MON *) Europe/Berlin", "demand": "rate(5 minutes) UTC", "sales": "rate(5 minutes) UTC"},
		"local": {"demand": "rate(1 minute) UTC", "sales": "rate(1 minute) UTC"},
	}
	each(t, func(t *testing.T, environment, stack string, tpl template) {
		if stack == "Foundation" {
			return
		}
		s := tpl.only(t, "AWS::Scheduler::Schedule", "Pipeline")
		got := fmt.Sprint(s.at("ScheduleExpression"), " ", s.at("ScheduleExpressionTimezone"))
		if want, ok := expressions[environment][stack]; ok && got != want {
			t.Errorf("the schedule is %s, want %s", got, want)
		}
		for _, c := range []struct {
			what string
			path []string
			want string
		}{
			{"the scheduled time is the input", []string{"Target", "Input"}, `"{\"scheduledTime\":\"\u003caws.scheduler.scheduled-time\u003e\"}"`},
			{"retries are bounded", []string{"Target", "RetryPolicy"}, `{"MaximumEventAgeInSeconds":3600,"MaximumRetryAttempts":5}`},
			{"what can't be delivered is kept", []string{"Target", "DeadLetterConfig"}, `{"Arn":{"Fn::GetAtt":["PipelineScheduleUndelivered3A0C3D23","Arn"]}}`},
			{"ticks are on time", []string{"FlexibleTimeWindow"}, `{"Mode":"OFF"}`},
			{"it has the pipeline's name", []string{"Name"}, fmt.Sprintf("%q", "ml-"+environment+"-"+stack)},
			{"it is in the environment's group", []string{"GroupName"}, fmt.Sprintf("%q", "ml-"+environment)},
		} {
			if got := text(s.at(c.path...)); got != c.want {
				t.Errorf("%s: %v is %s, want %s", c.what, c.path, got, c.want)
			}
		}
	})
}

func TestThePipelineIsWatched(t *testing.T) {
	each(t, func(t *testing.T, environment, stack string, tpl template) {
		if stack == "Foundation" {
			return
		}
		want := map[string]string{
			"PipelineScheduleAlarm":       "AWS/SQS ApproximateNumberOfMessagesVisible",
			"PipelineExportAlarm":         "AWS/Lambda Errors",
			"PipelineNotifyAlarm":         "AWS/Lambda Errors",
			"PipelineExportMapAlarm":      "AWS/States ExecutionsFailed",
			"PipelineExportMapTimeAlarm":  "AWS/States ExecutionsTimedOut",
			"PipelineExportMapAbortAlarm": "AWS/States ExecutionsAborted",
			"PipelineClockTickAlarm":      "SagemakerDatapipeline TickAge",
			"PipelineClockDataAlarm":      "SagemakerDatapipeline DataAge",
		}
		if stack != onlyExports {
			want["PipelineWorkflowAlarm"], want["PipelineAbortAlarm"] = "AWS/States ExecutionsFailed", "AWS/States ExecutionsAborted"
			want["PipelineEvaluateAlarm"], want["PipelineReleaseAlarm"] = "AWS/Lambda Errors", "AWS/Lambda Errors"
			want["PipelineClockModelAlarm"] = "SagemakerDatapipeline ModelAge"
		}
		if environment == "prod" && (stack == "fraud" || stack == "demand") {
			want["PipelineEndpointErrorAlarm"] = "AWS/SageMaker Invocation5XXErrors"
		}
		if environment == "prod" && stack == "fraud" {
			want["PipelineEndpointLatencyAlarm"] = "AWS/SageMaker ModelLatency"
		}
		if got := len(tpl.of("AWS::CloudWatch::Alarm")); got != len(want) {
			t.Errorf("%d alarms, want %d", got, len(want))
		}
		for prefix, metric := range want {
			alarm := tpl.only(t, "AWS::CloudWatch::Alarm", prefix)
			if got := fmt.Sprint(alarm.at("Namespace"), " ", alarm.at("MetricName")); got != metric {
				t.Errorf("%s watches %s, want %s", prefix, got, metric)
			}
			if got := text(alarm.at("AlarmActions")); !strings.Contains(got, "NoticesAlarms") {
				t.Errorf("%s tells %s, want the topic of alarms, which no mail is filtered from", prefix, got)
			}
		}
	})
}

// TestClocksAreReadAndJudgedByTheSchedule holds the thresholds, in seconds, that follow from the schedules of cdk.json.
func TestClocksAreReadAndJudgedByTheSchedule(t *testing.T) {
	const minute, hour, day = 60, 60 * 60, 24 * 60 * 60
	for environment, stacks := range map[string]map[string][]float64{
		// Every night, of which the one in October has 25 hours, and every Monday; a model may wait three days for its approval.
		"staging": {"fraud": {37.5*hour + 30*minute, 62.5*hour + hour, 87.5*hour + 3*hour}},
		"prod": {
			"fraud":  {37.5*hour + 30*minute, 62.5*hour + hour, 87.5*hour + 3*hour + 3*day},
			"churn":  {169*1.5*hour + 30*minute, 169*2.5*hour + hour, 169*3.5*hour + 3*hour + 3*day},
			"demand": {38 * minute, 73 * minute, 21*hour + 3*hour + 3*day}, // trained every six hours
			"sales":  {38 * minute, 73 * minute},
		},
		"local": {"demand": {32 * minute, 63 * minute, 184 * minute}},
	} {
		for stack, want := range stacks {
			tpl := templates[environment][stack]
			var got []float64
			for _, alarm := range []string{"PipelineClockTickAlarm", "PipelineClockDataAlarm", "PipelineClockModelAlarm"} {
				for id, a := range tpl.of("AWS::CloudWatch::Alarm") {
					if strings.HasPrefix(id, alarm) {
						got = append(got, a.at("Threshold").(float64))
					}
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s/%s: the clocks go off after %v s, want %v", environment, stack, got, want)
			}
		}
	}
	for environment, want := range map[string]string{"prod": "rate(5 minutes)", "local": "rate(1 minute)"} {
		rule := templates[environment]["fraud"].only(t, "AWS::Events::Rule", "PipelineClock")
		if got := rule.at("ScheduleExpression"); got != want {
			t.Errorf("%s: the clocks are read at %v, want %s", environment, got, want)
		}
	}
}

func TestAnEndpointIsWatchedWhereItsUpdatesAreRolledBack(t *testing.T) {
	tpl := templates["prod"]["fraud"]
	for prefix, want := range map[string]string{
		"PipelineEndpointErrorAlarm":   `Average > 0.01 [{"Name":"EndpointName","Value":"ml-prod-fraud"},{"Name":"VariantName","Value":"primary"}] 60 2 notBreaching`,
		"PipelineEndpointLatencyAlarm": `p99 > 200000 [{"Name":"EndpointName","Value":"ml-prod-fraud"},{"Name":"VariantName","Value":"primary"}] 60 2 notBreaching`, // microseconds
	} {
		a := tpl.only(t, "AWS::CloudWatch::Alarm", prefix)
		statistic := a.at("Statistic")
		if statistic == nil {
			statistic = a.at("ExtendedStatistic")
		}
		got := fmt.Sprint(statistic, " > ", a.at("Threshold"), " ", text(a.at("Dimensions")), " ", a.at("Period"), " ", a.at("EvaluationPeriods"), " ", a.at("TreatMissingData"))
		if got != want || a.at("ComparisonOperator") != "GreaterThanThreshold" {
			t.Errorf("%s is %s, want %s", prefix, got, want)
		}
	}
	definition := text(tpl.only(t, "AWS::StepFunctions::StateMachine", "PipelineWorkflow").at("DefinitionString"))
	for _, want := range []string{"PipelineEndpointErrorAlarm", "PipelineEndpointLatencyAlarm", "CANARY"} {
		if !strings.Contains(definition, want) {
			t.Errorf("the workflow doesn't name %s", want)
		}
	}
}

func TestWhatServesStaysWhenItsStackGoes(t *testing.T) {
	each(t, func(t *testing.T, environment, stack string, tpl template) {
		groups := tpl.of("AWS::SageMaker::ModelPackageGroup")
		if stack == "Foundation" || stack == onlyExports {
			if len(groups) > 0 {
				t.Error("there is a group for models, and nothing makes one")
			}
			return
		}
		want := "RetainExceptOnCreate"
		if environment == "dev" || environment == "local" {
			want = "Delete"
		}
		// An endpoint reads its model as this role with each machine that SageMaker replaces.
		role := tpl.only(t, "AWS::IAM::Role", "PipelineWorkflowModelRole")
		if role.DeletionPolicy != want && (want != "Delete" || role.DeletionPolicy != "") {
			t.Errorf("the role of models is handled by %q, want %s", role.DeletionPolicy, want)
		}
		for id, policy := range tpl.of("AWS::IAM::Policy") {
			if strings.Contains(text(policy.at("Roles")), "PipelineWorkflowModelRole") {
				t.Errorf("%s is a part of the role of models that goes with the stack", id)
			}
		}
		group := tpl.only(t, "AWS::SageMaker::ModelPackageGroup", "")
		if name := "ml-" + environment + "-" + stack; group.at("ModelPackageGroupName") != name || group.DeletionPolicy != want {
			t.Errorf("the group is %v, handled by %s, want %s, handled by %s", group.at("ModelPackageGroupName"), group.DeletionPolicy, name, want)
		}
		for _, kind := range []string{"AWS::SageMaker::Endpoint", "AWS::SageMaker::EndpointConfig", "AWS::SageMaker::Model"} {
			if len(tpl.of(kind)) > 0 {
				t.Errorf("the stack holds a %s: with the stack it would go, and with it what serves", kind)
			}
		}
		for id, r := range tpl.Resources {
			if strings.HasPrefix(r.Type, "Custom::") || r.Type == "AWS::CloudFormation::CustomResource" {
				t.Errorf("%s is a custom resource: it is told to delete when it is only renamed", id)
			}
		}
	})
}

func TestPeopleAreMailedWhatSomebodyHasToHearOf(t *testing.T) {
	filters := map[string]string{}
	for _, s := range templates["prod"]["Foundation"].of("AWS::SNS::Subscription") {
		topic := "notices"
		if strings.Contains(text(s.at("TopicArn")), "NoticesAlarms") {
			topic = "alarms"
		}
		filters[fmt.Sprint(topic, " to ", s.at("Endpoint"))] = text(s.at("FilterPolicy"))
	}
	want := map[string]string{
		"notices to data-platform@example.com": `{"routine":["false"]}`, "notices to ml-oncall@example.com": `{"routine":["false"]}`,
		"alarms to data-platform@example.com": "null", "alarms to ml-oncall@example.com": "null",
	}
	if !maps.Equal(filters, want) {
		t.Errorf("the subscriptions are %v, want %v", filters, want)
	}
}

func TestAProvisionedDatabaseIsGuarded(t *testing.T) {
	tpl := templates["dev"]["Foundation"]
	db := tpl.only(t, "AWS::RDS::DBInstance", "")
	for _, c := range []struct {
		what, key string
		want      any
	}{
		{"RDS keeps the master user's secret", "ManageMasterUserPassword", true},
		{"no password is in the template", "MasterUserPassword", nil},
		{"it isn't public", "PubliclyAccessible", false},
		{"it keeps two weeks of backups", "BackupRetentionPeriod", 14.0},
		{"the licence is included", "LicenseModel", "license-included"},
		{"minor versions come by themselves", "AutoMinorVersionUpgrade", true},
		{"dev is allowed to throw it away", "DeletionProtection", false},
	} {
		if got := db.at(c.key); got != c.want {
			t.Errorf("%s: %s is %v, want %v", c.what, c.key, got, c.want)
		}
	}
	group := tpl.only(t, "AWS::RDS::DBParameterGroup", "")
	if got := group.at("Parameters", "rds.force_ssl"); got != "1" {
		t.Errorf("rds.force_ssl is %v: the server would take logins without TLS", got)
	}
	secret := tpl.only(t, "AWS::SecretsManager::Secret", "")
	if got := secret.at("GenerateSecretString", "SecretStringTemplate"); got != `{"engine":"sqlserver","username":"pipeline_export"}` {
		t.Errorf("the secret of the exports' login is made from %v", got)
	}
	ingress := tpl.only(t, "AWS::EC2::SecurityGroupIngress", "DatabaseInstance")
	if got := text(ingress.at("SourceSecurityGroupId")); !strings.Contains(got, "NetworkExportSecurityGroup") || ingress.at("ToPort") != 1433.0 {
		t.Errorf("%s may connect to port %v, want the export functions to 1433 and nobody else", got, ingress.at("ToPort"))
	}
}

func TestTheNetworkReachesWhatTheFlowCallsAndNoMore(t *testing.T) {
	for environment, want := range map[string][]string{
		"dev":     {".lambda", ".s3", ".secretsmanager", ".states"},
		"staging": {".lambda", ".s3", ".secretsmanager", ".states"},
		"prod":    nil, // they exist
		"local":   nil, // no network
	} {
		var got []string
		for _, e := range templates[environment]["Foundation"].of("AWS::EC2::VPCEndpoint") {
			service := text(e.at("ServiceName"))
			service = strings.Trim(service[strings.LastIndex(service, "."):], `"]}`)
			got = append(got, service)
			if service != ".s3" && e.at("PrivateDnsEnabled") != true {
				t.Errorf("%s: %s has no private DNS name: the SDK would go past it", environment, service)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s has endpoints for %v, want %v", environment, got, want)
		}
		for id := range templates[environment]["Foundation"].of("AWS::EC2::NatGateway") {
			t.Errorf("%s has a NAT gateway that the flow doesn't need: %s", environment, id)
		}
	}
}

// An interface endpoint takes over its service's name in the whole VPC: in one that isn't ours it must let everybody in.
func TestEndpointsCutNobodyOff(t *testing.T) {
	for environment, want := range map[string]string{"dev": "NetworkExportSecurityGroup", "staging": "0.0.0.0/0"} {
		tpl := templates[environment]["Foundation"]
		endpoints := tpl.only(t, "AWS::EC2::SecurityGroup", "NetworkEndpointSecurityGroup")
		rules := text(endpoints.at("SecurityGroupIngress"))
		for _, rule := range tpl.of("AWS::EC2::SecurityGroupIngress") {
			if strings.Contains(text(rule.at("GroupId")), "NetworkEndpointSecurityGroup") {
				rules += text(rule.Properties)
			}
		}
		if !strings.Contains(rules, want) || environment == "dev" && strings.Contains(rules, "0.0.0.0/0") {
			t.Errorf("%s: the endpoints let in %s, want %s", environment, rules, want)
		}
	}
}

// TestNothingSecretIsInATemplate looks for what would hold a secret's value, or have CloudFormation fetch it.
func TestNothingSecretIsInATemplate(t *testing.T) {
	each(t, func(t *testing.T, _, _ string, tpl template) {
		whole := text(tpl)
		for _, forbidden := range []string{`"SecretString":`, `"MasterUserPassword":`, "{{resolve:secretsmanager", "{{resolve:ssm-secure", "BEGIN CERTIFICATE", "PRIVATE KEY"} {
			if strings.Contains(whole, forbidden) {
				t.Errorf("the template holds %s", forbidden)
			}
		}
	})
}

func TestEverythingIsTagged(t *testing.T) {
	each(t, func(t *testing.T, environment, stack string, tpl template) {
		for id, r := range tpl.Resources {
			tags, ok := r.at("Tags").([]any)
			if !ok {
				continue
			}
			got := map[string]string{}
			for _, tag := range tags {
				m := tag.(map[string]any)
				got[fmt.Sprint(m["Key"])] = fmt.Sprint(m["Value"])
			}
			want := map[string]string{"project": "ml", "environment": environment}
			if stack != "Foundation" {
				want["pipeline"] = stack
			}
			for key, value := range want {
				if got[key] != value {
					t.Errorf("%s has the tags %v, want %s=%s", id, got, key, value)
				}
			}
		}
	})
}

func TestOutputsAreWhatOtherToolsRead(t *testing.T) {
	each(t, func(t *testing.T, environment, stack string, tpl template) {
		want := []string{"EndpointName", "ExportFunctionName", "ExportMapArn", "ModelPackageGroupName", "ScheduleName", "StateMachineArn"}
		switch {
		case stack == "churn" && environment != "local": // scored in batches: there is no endpoint
			want = slices.DeleteFunc(want, func(name string) bool { return name == "EndpointName" })
			if _, ok := tpl.Outputs["EndpointName"]; ok {
				t.Error("an endpoint is named that nobody makes")
			}
		case stack == "Foundation":
			want = []string{"AlarmTopicArn", "DataBucketName", "TopicArn"}
		case stack == onlyExports:
			want = []string{"ExportFunctionName", "ExportMapArn", "ScheduleName"}
		}
		if len(tpl.Outputs) < len(want) {
			t.Errorf("the outputs are %v", slices.Sorted(maps.Keys(tpl.Outputs)))
		}
		for _, name := range want {
			if _, ok := tpl.Outputs[name]; !ok {
				t.Errorf("no output %s, but %v", name, slices.Sorted(maps.Keys(tpl.Outputs)))
			}
		}
	})
}
