package workflow

import (
	"slices"
	"strings"
	"testing"
)

// sentBefore are the fields of jobs that others send through the optimized integration. It takes a list of its own, and refuses a state
// machine, or ends an execution, by any other: "The field … is not supported by Step Functions". No catch hears of it. Sources: the CDK's
// SageMakerCreateTrainingJob and SageMakerCreateTransformJob; for spot TrainingStep, and for DataProcessing TransformStep of the AWS Step
// Functions Data Science SDK. CheckpointConfig came into SageMaker's API together with spot.
var sentBefore = map[string][]string{
	"createTrainingJob.sync": {
		"AlgorithmSpecification", "CheckpointConfig", "EnableManagedSpotTraining", "HyperParameters", "InputDataConfig", "OutputDataConfig",
		"ResourceConfig", "RoleArn", "StoppingCondition", "Tags", "TrainingJobName", "VpcConfig",
	},
	"createTransformJob.sync": {
		"BatchStrategy", "DataProcessing", "ModelName", "Tags", "TransformInput", "TransformJobName", "TransformOutput", "TransformResources",
	},
}

func TestJobsHaveOnlyFieldsThatStepFunctionsIsKnownToTake(t *testing.T) {
	for _, pipeline := range []string{"plain", "guarded", "invpc", "jspot", "gatedkey", "batch"} {
		for name, state := range decode(t, pipeline).States {
			_, action, optimized := strings.Cut(state.Resource, ":states:::sagemaker:")
			if !optimized {
				continue
			}
			for field := range state.Arguments {
				if !slices.Contains(sentBefore[action], field) {
					t.Errorf("%s of %s sends %s, which nobody is known to have sent by %s", name, pipeline, field, action)
				}
			}
		}
	}
}
