package constructs

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"

	"sagemaker-datapipeline/lambda/evaluation"
)

// stepBatch is the step of a batch's scoring, as notices call it.
const stepBatch = "Score batch"

// batchSuffix is in the names of the transform jobs that score batches.
const batchSuffix = "b"

// scoreBatch makes the states that score the run's rows into the bucket: the key's columns of each row, and the model's answer to
// the others.
func (f *flow) scoreBatch(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	keys := f.props.Endpoint.KeyColumns
	kept := make([]string, keys, keys+1)
	for i := range kept {
		kept[i] = fmt.Sprint(i)
	}
	output := fmt.Sprintf(`('%s' & $job & '/batch/')`, evaluation.AllScoresPrefix(f.props.Pipeline))
	score := f.runJob(f.transform(transform{
		model: `$job`, input: input + `.channels.batch`, content: `'text/csv'`, output: output,
		filter: map[string]any{
			"InputFilter":  fmt.Sprintf("$[%d:]", keys),
			"JoinSource":   "Input",
			"OutputFilter": "$[" + strings.Join(append(kept, "-1"), ",") + "]",
		},
		job: job{
			comment: "All rows of the run, as the export has written them.", errors: "Score",
			create: stepBatch, ended: "Batch scored?", look: "Look at batch", wait: "Wait to score batch", watch: "Wait for batch", stop: "Stop batch",
			name:   fmt.Sprintf(`('%s-' & $run & '-%s' & $string($attempt))`, f.props.Name, batchSuffix),
			assign: variables{"scores": jsonata(fmt.Sprintf(`'s3://%s/' & %s`, *f.props.Bucket.BucketName(), output))},
		},
	}), then)
	there := f.choice("Batch there?", "", failing(stepBatch, "Batch.Missing",
		`'the run has no channel "batch": it was exported before the pipeline scored batches. Let the next run score, or export this one again.'`))
	there.When(condition(`$type(`+input+`.channels.batch) = 'string'`), score, when("", f.begin())).
		Otherwise(f.failed)
	return there
}
