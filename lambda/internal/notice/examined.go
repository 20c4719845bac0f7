package notice

import (
	"encoding/json"
	"fmt"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Examined is the outcome attribute of a doctor's notices.
const Examined = "examined"

// Report is what the notify function is invoked with when the doctor has found something.
type Report struct {
	Examined *findings.Report `json:"examined"`
}

// DecodeReport reads a Report; ok is false for what is none.
func DecodeReport(b []byte) (report findings.Report, ok bool) {
	var r Report
	if err := json.Unmarshal(b, &r); err != nil || r.Examined == nil {
		return findings.Report{}, false
	}
	return *r.Examined, true
}

// FromReport makes the notice of what the doctor found when a pipeline was deployed.
func FromReport(spec pipeline.Spec, r findings.Report) Notice {
	return Notice{
		Subject: subject(fmt.Sprintf("[%s] the doctor found what is in the way of the next run", spec.Name())),
		Message: fmt.Sprintf("%s was deployed, and its database or its settings are not as the export needs them: %s.\n\n%s\nTo look again: %s\n",
			spec.Name(), r.Summary(), r.Text(), command(spec, "doctor", "")),
		Attributes: map[string]string{"pipeline": spec.Pipeline, "run": "none", "outcome": Examined, "routine": "false"},
	}
}
