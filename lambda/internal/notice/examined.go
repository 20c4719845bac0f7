package notice

import (
	"fmt"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Examined is the outcome attribute of a doctor's notices.
const Examined = "examined"

// FromReport makes the notice of what the doctor found when a pipeline was deployed.
func FromReport(spec pipeline.Spec, r findings.Report) Notice {
	return Notice{
		Subject: subject(fmt.Sprintf("[%s] the doctor found what is in the way of the next run", spec.Name())),
		Message: fmt.Sprintf("%s was deployed, and its database or its settings are not as the export needs them: %s.\n\n%s\nTo look again: %s\n",
			spec.Name(), r.Summary(), Shorten(r.Text(), maxMessage), command(spec, "doctor")),
		Attributes: map[string]string{"pipeline": spec.Pipeline, "run": "none", "outcome": Examined, "routine": "false"},
	}
}
