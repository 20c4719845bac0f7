package stacks

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs"
	"sagemaker-datapipeline/lambda/pipeline"
)

func TestAnEvaluationStandsAloneInSomebodysApp(t *testing.T) {
	read := func(more string) string {
		return "ReadWhatWasScored: s3:GetObject s3:GetObjectVersion on arn:AWS::P:s3:::shop-data/returns/head.json " +
			"arn:AWS::P:s3:::shop-data/returns/runs/* arn:AWS::P:s3:::shop-data/returns/models/*/signature.json arn:AWS::P:s3:::shop-data/returns/scores/*" + more
	}
	everywhere := []string{
		"WriteItsLog: logs:CreateLogStream logs:PutLogEvents on EvaluateLogs.Arn",
		"KeepReports: s3:GetObject s3:PutObject on arn:AWS::P:s3:::shop-data/returns/evaluations/*",
		"SeeWhatIsThere: s3:ListBucket on arn:AWS::P:s3:::shop-data",
		"SeeWhetherAModelIsThere: sagemaker:DescribeModel on arn:AWS::P:sagemaker:eu-west-1:444444444444:model/shop-live-returns-*",
	}
	for _, c := range []struct {
		name   string
		deploy pipeline.Deploy
		key    bool
		want   []string
	}{
		{"an endpoint is looked at and asked", pipeline.Endpoint, false, []string{
			read(""),
			"AskTheEndpoint: sagemaker:DescribeEndpoint sagemaker:InvokeEndpoint on arn:AWS::P:sagemaker:eu-west-1:444444444444:endpoint/shop-live-returns",
			"SeeWhatItServes: sagemaker:DescribeEndpointConfig on arn:AWS::P:sagemaker:eu-west-1:444444444444:endpoint-config/shop-live-returns-*",
		}},
		{"of batches what is in service is read", pipeline.Batch, true, []string{
			read(" arn:AWS::P:s3:::shop-data/returns/service.json"),
			"OpenAndSealObjects: kms:GenerateDataKey kms:Decrypt on arn:aws:kms:eu-west-1:444444444444:key/k if StringEquals kms:ViaService=s3.eu-west-1.amazonaws.com",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stack, bucket, _, code := somebodysStack()
			props := &constructs.EvaluateProps{
				Name: "shop-live-returns-evaluate", Bucket: bucket, Code: code,
				Spec: pipeline.Spec{Version: pipeline.Version, Project: "shop", Environment: "live", Pipeline: "returns", Deploy: c.deploy},
			}
			if c.key {
				props.EncryptionKey = awskms.Key_FromKeyArn(stack, jsii.String("Key"), jsii.String("arn:aws:kms:eu-west-1:444444444444:key/k"))
			}
			made := constructs.NewEvaluate(stack, "Evaluate", props)
			if made.Function == nil || made.Role == nil || made.LogGroup == nil || made.MetricErrors(nil) == nil {
				t.Fatal("a part of the evaluation can't be reached")
			}
			b, err := json.Marshal(assertions.Template_FromStack(stack, nil).ToJSON())
			if err != nil {
				t.Fatal(err)
			}
			var tpl template
			if err := json.Unmarshal(b, &tpl); err != nil {
				t.Fatal(err)
			}
			function := tpl.only(t, "AWS::Lambda::Function", "Evaluate")
			if got := text(function.at("Timeout")) + " " + text(function.at("MemorySize")) + " " + text(function.at("Environment", "Variables", "GOMEMLIMIT")); got != `900 1769 "1503MiB"` {
				t.Errorf("its limits are %s", got)
			}
			var got []string
			for _, statements := range identityStatements(tpl) {
				for _, s := range statements {
					got = append(got, sentence(s))
				}
			}
			want := slices.Concat(everywhere, c.want)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("it may\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
			}
		})
	}
}
