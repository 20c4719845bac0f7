package release

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go"
)

// endpoint is what the pipeline's endpoint serves.
type endpoint struct {
	// configs are what it serves, and what it is about to serve; none when there is no endpoint.
	configs []string
	// failed says that it serves nothing, whatever config it has.
	failed bool
}

func (r *Releaser) endpoint(ctx context.Context) (endpoint, error) {
	out, err := r.SageMaker.DescribeEndpoint(ctx, &sagemaker.DescribeEndpointInput{EndpointName: aws.String(r.Spec.Name())})
	if absent(err) {
		return endpoint{}, nil
	}
	if err != nil {
		return endpoint{}, fmt.Errorf("looking at the endpoint %s: %w", r.Spec.Name(), err)
	}
	e := endpoint{failed: out.EndpointStatus == types.EndpointStatusFailed}
	if config := aws.ToString(out.EndpointConfigName); config != "" {
		e.configs = append(e.configs, config)
	}
	if p := out.PendingDeploymentSummary; p != nil && aws.ToString(p.EndpointConfigName) != "" {
		e.configs = append(e.configs, *p.EndpointConfigName)
	}
	return e, nil
}

// modelsOf gives the models behind a config, those of shadow variants too.
func (r *Releaser) modelsOf(ctx context.Context, config string) ([]string, error) {
	out, err := r.SageMaker.DescribeEndpointConfig(ctx, &sagemaker.DescribeEndpointConfigInput{EndpointConfigName: aws.String(config)})
	if err != nil {
		return nil, fmt.Errorf("looking at the endpoint config %s, which is in use: %w", config, err)
	}
	var models []string
	for _, v := range append(out.ProductionVariants, out.ShadowProductionVariants...) {
		models = append(models, aws.ToString(v.ModelName))
	}
	return models, nil
}

// absent says whether SageMaker doesn't have what it was asked about. Of endpoints, configs and models it models no error for that; the texts begin:
// "Could not find endpoint", "Could not find endpoint configuration", "Could not find model". Of model packages: "ModelPackage … does not exist".
func absent(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch api.ErrorCode() {
	case "ResourceNotFound":
		return true
	case "ValidationException":
		text := api.ErrorMessage()
		return strings.HasPrefix(text, "Could not find ") || strings.HasSuffix(strings.TrimSuffix(text, "."), "does not exist")
	}
	return false
}
