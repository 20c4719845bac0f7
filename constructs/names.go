package constructs

import (
	"fmt"
	"regexp"

	"sagemaker-datapipeline/constructs/config"
)

// MaxNameLength is the longest prefix that SageMaker's 63 characters leave room for: the training job of a run's second to
// ninety-ninth attempt is called <prefix>-<run id>-a<n>.
const MaxNameLength = config.LongestPrefix

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// checkName panics unless name can be the prefix of a pipeline's jobs, models and configs. The CDK lower-cases SageMaker's
// names in IAM, so upper case would deploy and then be denied.
func checkName(name string) {
	if len(name) > MaxNameLength {
		panic(fmt.Errorf("the pipeline's name %q has %d characters, SageMaker's names leave room for %d: shorten the project, the environment or the pipeline", name, len(name), MaxNameLength))
	}
	if !nameForm.MatchString(name) {
		panic(fmt.Errorf("the pipeline's name %q may hold lower-case letters, digits and single hyphens only, and begins with a letter", name))
	}
}
