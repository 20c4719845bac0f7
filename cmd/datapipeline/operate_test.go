package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	smtypes "github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"sagemaker-datapipeline/constructs"
	"sagemaker-datapipeline/lambda/manifest"
	paused "sagemaker-datapipeline/lambda/pause"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/service"
	"sagemaker-datapipeline/test/local/emulator"
)

// shop is a pipeline in the local AWS whose runs were trained, registered and put into service as its workflow does it.
type shop struct {
	emulator *emulator.Emulator
	s3       *s3.Client
	sm       *sagemaker.Client
	sfn      *sfn.Client
	config   string
}

const (
	shopBucket = "data"
	shopName   = "ml-local-sales"
	january    = "20260101t020000z"
	february   = "20260201t020000z"
	march      = "20260301t020000z"
)

func newShop(t *testing.T) *shop {
	t.Helper()
	e, err := emulator.Start(t.Context(), emulator.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	for _, variable := range e.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	cfg := e.AWSConfig()
	s := &shop{
		emulator: e, sm: sagemaker.NewFromConfig(cfg), sfn: sfn.NewFromConfig(cfg), config: configuration(t),
		s3: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }),
	}
	deployFunction(t, e, shopName+"-export")
	ctx := t.Context()
	_, err = lambda.NewFromConfig(cfg).UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
		FunctionName: aws.String(shopName + "-export"), Environment: &lambdatypes.Environment{Variables: map[string]string{"DATA_BUCKET": shopBucket}},
	})
	must(t, err)
	_, err = s.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(shopBucket)})
	must(t, err)
	for _, machine := range []string{shopName, shopName + "-export"} {
		_, err = s.sfn.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{
			Name: aws.String(machine), RoleArn: aws.String("arn:aws:iam::000000000000:role/workflow"),
			// It waits, as one does whose endpoint is being updated.
			Definition: aws.String(`{"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": true}}}`),
		})
		must(t, err)
	}
	_, err = s.sm.CreateModelPackageGroup(ctx, &sagemaker.CreateModelPackageGroupInput{ModelPackageGroupName: aws.String(shopName)})
	must(t, err)
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *shop) put(t *testing.T, key string, body []byte) {
	t.Helper()
	_, err := s.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(shopBucket), Key: &key, Body: strings.NewReader(string(body))})
	must(t, err)
}

// trained makes a run: its data, its training job and its model.
func (s *shop) trained(t *testing.T, id string, seed uint64) {
	t.Helper()
	runID, err := run.ParseID(id)
	must(t, err)
	r := rand.New(rand.NewPCG(seed, 1))
	var rows strings.Builder
	for range 60 {
		x := r.Float64()
		fmt.Fprintf(&rows, "%.3f,%.4f,%.4f\n", 3*x, x, r.Float64())
	}
	part := manifest.ChannelKey("sales", runID, "a1", manifest.Train, 0)
	s.put(t, part, []byte(rows.String()))
	list := manifest.ChannelManifestKey("sales", runID, "a1", manifest.Train)
	s.put(t, list, fmt.Appendf(nil, `[{"prefix":"s3://%s/%s"},%q]`, shopBucket, manifest.RunsPrefix("sales"), strings.TrimPrefix(part, manifest.RunsPrefix("sales"))))
	m := manifest.Manifest{
		Version: manifest.Version, Project: "ml", Environment: "local", Pipeline: "sales", Run: runID, ScheduledTime: runID.Time(), Attempt: "a1",
		CommittedAt: runID.Time().Add(time.Minute), SpecSHA256: "p1", QuerySHA256: "q" + id, SchemaSHA256: "s1", Load: "full", Generation: 1, Rows: 60,
		Plan: manifest.Plan{Key: "sales/runs/" + id + "/plan-p1/plan.json", ETag: "e"}, Files: []manifest.File{{Object: manifest.Object{Key: part}, Format: "csv", Rows: 60}},
		Signature: &manifest.Object{Key: manifest.SignatureKey("sales", runID, "a1")},
		Source:    manifest.Source{Address: "db:1433", Isolation: "SNAPSHOT", Guarantee: "One state."},
		Channels:  map[string]manifest.Channel{manifest.Train: {Manifest: manifest.Object{Key: list}, Rows: 60, Files: 1}},
	}
	body, err := json.Marshal(m)
	must(t, err)
	s.put(t, manifest.Key("sales", runID, "a1"), body)
	job := shopName + "-" + id
	image, err := constructs.XGBoostImage(emulator.Region, constructs.XGBoostVersions[0])
	must(t, err)
	_, err = s.sm.CreateTrainingJob(t.Context(), &sagemaker.CreateTrainingJobInput{
		TrainingJobName: &job, RoleArn: aws.String("arn:aws:iam::000000000000:role/training"),
		AlgorithmSpecification: &smtypes.AlgorithmSpecification{TrainingImage: &image.URI, TrainingInputMode: smtypes.TrainingInputModeFile},
		HyperParameters:        map[string]string{"num_round": "2", "objective": "reg:squarederror"},
		InputDataConfig: []smtypes.Channel{{ChannelName: aws.String(manifest.Train), ContentType: aws.String("text/csv"), DataSource: &smtypes.DataSource{
			S3DataSource: &smtypes.S3DataSource{S3DataType: smtypes.S3DataTypeManifestFile, S3Uri: aws.String("s3://" + shopBucket + "/" + list)},
		}}},
		OutputDataConfig:  &smtypes.OutputDataConfig{S3OutputPath: aws.String("s3://" + shopBucket + "/" + manifest.ModelPrefix("sales"))},
		ResourceConfig:    &smtypes.ResourceConfig{InstanceType: smtypes.TrainingInstanceTypeMlM5Large, InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(10)},
		StoppingCondition: &smtypes.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(600)},
	})
	must(t, err)
	must(t, sagemaker.NewTrainingJobCompletedOrStoppedWaiter(s.sm, func(o *sagemaker.TrainingJobCompletedOrStoppedWaiterOptions) {
		o.MinDelay, o.MaxDelay = 200*time.Millisecond, time.Second
	}).Wait(t.Context(), &sagemaker.DescribeTrainingJobInput{TrainingJobName: &job}, time.Minute))
	_, err = s.sm.CreateModel(t.Context(), &sagemaker.CreateModelInput{
		ModelName: &job, ExecutionRoleArn: aws.String("arn:aws:iam::000000000000:role/model"),
		PrimaryContainer: &smtypes.ContainerDefinition{Image: &image.URI, ModelDataUrl: aws.String("s3://" + shopBucket + "/" + manifest.ModelPrefix("sales") + job + "/output/model.tar.gz")},
	})
	must(t, err)
}

// registered puts a run's model into the registry, waiting for a person.
func (s *shop) registered(t *testing.T, id string) {
	t.Helper()
	image, err := constructs.XGBoostImage(emulator.Region, constructs.XGBoostVersions[0])
	must(t, err)
	_, err = s.sm.CreateModelPackage(t.Context(), &sagemaker.CreateModelPackageInput{
		ModelPackageGroupName: aws.String(shopName), ModelApprovalStatus: smtypes.ModelApprovalStatusPendingManualApproval,
		CustomerMetadataProperties: map[string]string{"run": id},
		InferenceSpecification: &smtypes.InferenceSpecification{
			Containers: []smtypes.ModelPackageContainerDefinition{{
				Image: &image.URI, ModelDataUrl: aws.String("s3://" + shopBucket + "/" + manifest.ModelPrefix("sales") + shopName + "-" + id + "/output/model.tar.gz"),
			}},
			SupportedContentTypes: []string{"text/csv"}, SupportedResponseMIMETypes: []string{"text/csv"},
		},
	})
	must(t, err)
}

// serving puts a run's model into service, as the workflow records it.
func (s *shop) serving(t *testing.T, id string, history ...string) {
	t.Helper()
	config := shopName + "-" + id
	_, err := s.sm.CreateEndpointConfig(t.Context(), &sagemaker.CreateEndpointConfigInput{
		EndpointConfigName: &config,
		ProductionVariants: []smtypes.ProductionVariant{{
			VariantName: aws.String(constructs.VariantName), ModelName: &config, InstanceType: smtypes.ProductionVariantInstanceTypeMlM5Large, InitialInstanceCount: aws.Int32(1),
		}},
	})
	must(t, err)
	_, err = s.sm.CreateEndpoint(t.Context(), &sagemaker.CreateEndpointInput{EndpointName: aws.String(shopName), EndpointConfigName: &config})
	must(t, err)
	must(t, sagemaker.NewEndpointInServiceWaiter(s.sm, func(o *sagemaker.EndpointInServiceWaiterOptions) {
		o.MinDelay, o.MaxDelay = 200*time.Millisecond, time.Second
	}).Wait(t.Context(), &sagemaker.DescribeEndpointInput{EndpointName: aws.String(shopName)}, time.Minute))
	s.recorded(t, pipeline.Endpoint, append([]string{id}, history...)...)
}

// recorded writes the history, the newest run first.
func (s *shop) recorded(t *testing.T, kind pipeline.Deploy, history ...string) {
	t.Helper()
	var recorded service.Service
	for _, one := range history {
		recorded.History = append(recorded.History, service.Entry{Run: run.ID(one), Job: shopName + "-" + one, Model: shopName + "-" + one, Config: shopName + "-" + one, Endpoint: shopName, Kind: kind})
	}
	body, err := json.Marshal(recorded)
	must(t, err)
	s.put(t, service.Key("sales"), body)
}

// started is the input of the newest execution of the workflow.
func (s *shop) started(t *testing.T) manifest.ExecutionInput {
	t.Helper()
	arn := "arn:aws:states:us-east-1:000000000000:stateMachine:" + shopName
	list, err := s.sfn.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &arn})
	must(t, err)
	var newest *string
	var at time.Time
	for _, e := range list.Executions {
		if e.StartDate.After(at) {
			newest, at = e.ExecutionArn, *e.StartDate
		}
	}
	if newest == nil {
		t.Fatal("no execution was started")
	}
	d, err := s.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: newest})
	must(t, err)
	var input manifest.ExecutionInput
	must(t, json.Unmarshal([]byte(aws.ToString(d.Input)), &input))
	return input
}

func (s *shop) approval(t *testing.T, id string) (smtypes.ModelApprovalStatus, string) {
	t.Helper()
	list, err := s.sm.ListModelPackages(t.Context(), &sagemaker.ListModelPackagesInput{ModelPackageGroupName: aws.String(shopName)})
	must(t, err)
	for _, one := range list.ModelPackageSummaryList {
		p, err := s.sm.DescribeModelPackage(t.Context(), &sagemaker.DescribeModelPackageInput{ModelPackageName: one.ModelPackageArn})
		must(t, err)
		if p.CustomerMetadataProperties["run"] == id {
			return p.ModelApprovalStatus, aws.ToString(p.ApprovalDescription)
		}
	}
	t.Fatalf("there is no package of run %s", id)
	return "", ""
}

func TestACommandChangesWhatTheWorkflowHasMade(t *testing.T) {
	s := newShop(t)
	const sales = " -environment local -pipeline sales "
	ask := func(t *testing.T, line string, want int, says ...string) {
		t.Helper()
		code, out, errs := runCommand(t.Context(), s.config, line)
		for _, one := range says {
			if !strings.Contains(out+errs, one) {
				t.Errorf("%s doesn't say %q:\n%s\n%s", line, one, out, errs)
			}
		}
		if code != want {
			t.Fatalf("%s exits with %d, want %d:\n%s\n%s", line, code, want, out, errs)
		}
	}
	t.Run("before the first run there is nothing to explain, to go back to, or to approve", func(t *testing.T) {
		ask(t, "explain"+sales, notDone, "there is no endpoint ml-local-sales")
		ask(t, "explain"+sales+january, notDone, "run 20260101t020000z was not trained")
		ask(t, "rollback -reason worse"+sales, notDone, "there is nothing to go back to")
		ask(t, "rerun -from train -reason again"+sales+january, notDone, "has no training job")
		ask(t, "approve"+sales+january, notDone, "has no model package")
	})
	s.trained(t, january, 1)
	s.trained(t, february, 2)
	s.registered(t, january)
	s.registered(t, february)
	s.serving(t, february, january)
	t.Run("what serves is explained down to the query", func(t *testing.T) {
		ask(t, "explain"+sales, done, "ml-local-sales is InService", "model          ml-local-sales-"+february, "SHA-256 q"+february, "60 rows in 1 files", "One state.")
		ask(t, "explain -json"+sales+january, done, `"querySha256": "q`+january+`"`)
	})
	t.Run("of batches the model that scores them is explained, beside an endpoint of before", func(t *testing.T) {
		s.recorded(t, pipeline.Batch, january)
		ask(t, "explain"+sales, done, "model          ml-local-sales-"+january, "SHA-256 q"+january)
		s.recorded(t, pipeline.Endpoint, february, january)
	})
	t.Run("a rollback starts the workflow at the deployment of the model before", func(t *testing.T) {
		ask(t, "rollback -reason worse -by ada"+sales, done, "ml-local-sales-"+january)
		input := s.started(t)
		if r := input.Resume; r == nil || *r != (manifest.Resume{From: manifest.FromDeploy, Model: shopName + "-" + january, By: "ada", Reason: "worse", Rollback: true}) || input.Run != january {
			t.Errorf("the execution's input is %+v of run %s", input.Resume, input.Run)
		}
	})
	t.Run("a rollback goes to no model that waits for a person, or was refused", func(t *testing.T) {
		s.trained(t, march, 3)
		s.registered(t, march)
		ask(t, "rollback -reason worse"+sales+march, notDone, "was never in service, and is PendingManualApproval")
		ask(t, "refuse -reason biased -by bob"+sales+march, done, "is Rejected")
		ask(t, "rollback -reason worse"+sales+march, notDone, "was never in service, and is Rejected in the registry (by bob: biased)")
		ask(t, "rollback -reason worse -by ada"+sales+january, done, "ml-local-sales-"+january)
	})
	t.Run("a run is executed again from a step", func(t *testing.T) {
		ask(t, "rerun -from evaluate -reason again -by ada"+sales+february, done, "from               evaluate")
		if r := s.started(t).Resume; r == nil || r.Model != shopName+"-"+february || r.Rollback {
			t.Errorf("the execution is resumed as %+v", r)
		}
		ask(t, "rerun -from train -reason again -by ada"+sales+february, done, "from               train")
		if r := s.started(t).Resume; r == nil || r.Model != "" {
			t.Errorf("the execution is resumed as %+v", r)
		}
	})
	t.Run("an approval and a refusal are the package's status, once", func(t *testing.T) {
		ask(t, "approve -by ada"+sales+february, done, "is Approved; the workflow sees it")
		ask(t, "approve -by bob"+sales+february, done, "is Approved already (by ada)")
		ask(t, "refuse -reason no -by bob"+sales+february, notDone, "is Approved already (by ada)")
		ask(t, "refuse -reason biased -by bob"+sales+january, done, "is Rejected")
		if status, words := s.approval(t, january); status != smtypes.ModelApprovalStatusRejected || words != "by bob: biased" {
			t.Errorf("the package is %s: %s", status, words)
		}
	})
	t.Run("a preflight names what is missing", func(t *testing.T) {
		ask(t, "preflight -environment local", notDone, "the account isn't bootstrapped", "there is no secret ml/local/sqlserver", "000000000000 as arn:")
	})
	t.Run("a destruction wants the whole name", func(t *testing.T) {
		ask(t, "destroy"+sales, notAsked, "-confirm ml-local-sales")
		ask(t, "destroy -confirm sales"+sales, notAsked, "-confirm ml-local-sales")
	})
	t.Run("a destruction takes everything that no stack holds, and nothing of a pipeline whose name begins alike", func(t *testing.T) {
		other := "ml-local-sales-two-" + january
		image, err := constructs.XGBoostImage(emulator.Region, constructs.XGBoostVersions[0])
		must(t, err)
		_, err = s.sm.CreateModel(t.Context(), &sagemaker.CreateModelInput{
			ModelName: &other, ExecutionRoleArn: aws.String("arn:aws:iam::000000000000:role/model"),
			PrimaryContainer: &smtypes.ContainerDefinition{Image: &image.URI, ModelDataUrl: aws.String("s3://" + shopBucket + "/" + manifest.ModelPrefix("sales") + shopName + "-" + january + "/output/model.tar.gz")},
		})
		must(t, err)
		s.put(t, "stock/head.json", []byte("{}"))
		s.put(t, paused.Key("sales"), []byte("{}"))
		ask(t, "destroy -data -confirm ml-local-sales"+sales, done, "stopped arn:aws:states", "deleted the endpoint ml-local-sales", "deleted the model ml-local-sales-"+january,
			"deleted the endpoint config ml-local-sales-"+february, "deleted the model package", "npx cdk destroy 'local/sales'")
		models, err := s.sm.ListModels(context.WithoutCancel(t.Context()), &sagemaker.ListModelsInput{})
		must(t, err)
		if len(models.Models) != 1 || aws.ToString(models.Models[0].ModelName) != other {
			t.Errorf("what is left is %v", models.Models)
		}
		left, err := s.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(shopBucket)})
		must(t, err)
		var keys []string
		for _, o := range left.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
		// Without the pause the schedule of the stack, which is still there, would make another run.
		if want := []string{paused.Key("sales"), "stock/head.json"}; !slices.Equal(keys, want) {
			t.Errorf("what is left is %v, want %v", keys, want)
		}
		ask(t, "destroy -confirm ml-local-sales"+sales, done, "runs, models' artifacts and clocks in S3 are kept")
	})
}
