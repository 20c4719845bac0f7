package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// The local environment's account and region, as cdk.json has them.
const (
	account = "000000000000"
	region  = "us-east-1"
)

// clients are the emulator's services.
type clients struct {
	lambda    *lambda.Client
	s3        *s3.Client
	sagemaker *sagemaker.Client
	runtime   *sagemakerruntime.Client
	scheduler *scheduler.Client
	secrets   *secretsmanager.Client
	sfn       *sfn.Client
	sns       *sns.Client
	sqs       *sqs.Client
}

func newClients(endpoint string) clients {
	// Everything is given, nothing is looked up: no profile and no real credentials of the user can get in here.
	c := aws.Config{
		Region:       region,
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
	return clients{
		lambda:    lambda.NewFromConfig(c),
		s3:        s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true }),
		sagemaker: sagemaker.NewFromConfig(c),
		runtime:   sagemakerruntime.NewFromConfig(c),
		scheduler: scheduler.NewFromConfig(c),
		secrets:   secretsmanager.NewFromConfig(c),
		sfn:       sfn.NewFromConfig(c),
		sns:       sns.NewFromConfig(c),
		sqs:       sqs.NewFromConfig(c),
	}
}

// cliEnvironment is the environment of the CDK CLI: the emulator instead of AWS, and none of the user's own AWS settings.
func cliEnvironment(endpoint string) []string {
	env := []string{
		"AWS_ENDPOINT_URL=" + endpoint,
		"AWS_ENDPOINT_URL_S3=" + endpoint,
		"AWS_ACCESS_KEY_ID=test",
		"AWS_SECRET_ACCESS_KEY=test",
		"AWS_REGION=" + region,
		"AWS_EC2_METADATA_DISABLED=true",
		"NO_PROXY=127.0.0.1",
		"AWS_CONFIG_FILE=/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"CDK_DISABLE_CLI_TELEMETRY=true",
		// Node 20 works, and the README says what to use; its warnings would hide what matters in the log.
		"NODE_NO_WARNINGS=1",
		"JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=20",
		"JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION=1",
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") && !strings.HasPrefix(v, "CDK_") {
			env = append(env, v)
		}
	}
	return env
}

// errTimeout is the cause of a wait that took too long.
var errTimeout = errors.New("it took too long")

// poll calls f until it says that it is done. The interval is short because everything is on this machine.
func poll(ctx context.Context, timeout time.Duration, what string, f func() (done bool, err error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	for {
		done, err := f()
		if err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errTimeout) {
				return fmt.Errorf("waiting for %s: nothing after %v", what, timeout)
			}
			return context.Cause(ctx)
		case <-time.After(150 * time.Millisecond):
		}
	}
}
