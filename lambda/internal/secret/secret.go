// Package secret reads a secret from Secrets Manager.
package secret

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
)

// API is what a Secret calls of Secrets Manager.
type API interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

var _ API = (*secretsmanager.Client)(nil)

// Secret is one secret, named by its ARN or its name.
type Secret struct {
	API API
	ID  string
}

// Text gives the secret's current text. It is not kept: a rotation counts from the next call on.
func (s Secret) Text(ctx context.Context) ([]byte, error) {
	out, err := s.API.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(s.ID)})
	if err != nil {
		if api, ok := errors.AsType[smithy.APIError](err); ok {
			switch api.ErrorCode() {
			case "ResourceNotFoundException":
				return nil, fmt.Errorf("the database secret %s does not exist or has no value: create it, or correct the name in the configuration: %w", s.ID, err)
			case "AccessDeniedException":
				return nil, fmt.Errorf("reading the database secret %s: access denied: the function's role needs secretsmanager:GetSecretValue on it, and kms:Decrypt on its key: %w", s.ID, err)
			}
		}
		return nil, fmt.Errorf("reading the database secret %s: %w", s.ID, err)
	}
	if out.SecretString != nil {
		return []byte(*out.SecretString), nil
	}
	return out.SecretBinary, nil
}
