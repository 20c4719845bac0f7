// Package examine lets a machine outside of AWS examine what a pipeline reads, as the doctor of the export function does: before the first
// deploy there is no function to ask.
package examine

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/internal/doctor"
	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/secret"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Database is where a pipeline's source is. What is empty the secret says.
type Database struct {
	// SecretID is the name or the ARN of the secret with the login.
	SecretID string
	// Host, Port and Name go before what the secret says.
	Host, Port, Name string
	// ReplicaHost and ReplicaPort are read instead where the pipeline says so.
	ReplicaHost, ReplicaPort string
}

// Source examines the way to the server, its certificate, the login's rights and what the pipeline reads, with the caller's credentials for the
// secret. Whatever is wrong is a finding; the error is that of a context that ended.
func Source(ctx context.Context, sdk aws.Config, spec pipeline.Spec, at Database) (findings.Report, error) {
	server := export.Server{
		Spec:    spec,
		Secret:  secret.Secret{API: secretsmanager.NewFromConfig(sdk), ID: at.SecretID},
		Primary: sqlserver.Overrides{Host: at.Host, Port: at.Port, Database: at.Name},
		Replica: sqlserver.Overrides{Host: at.ReplicaHost, Port: at.ReplicaPort, Database: at.Name},
	}
	return doctor.Examine(ctx, doctor.Input{Spec: spec, Connect: server.Open, HashKey: server.HashKey})
}
