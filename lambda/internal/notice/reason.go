package notice

import (
	"encoding/json"
	"regexp"
	"strings"
)

var (
	// A job's description is cut off where it is long, so it is searched and not parsed.
	failureReason = regexp.MustCompile(`"FailureReason":\s*"((?:[^\\"]|\\.)+)`)
	jobStopped    = regexp.MustCompile(`"(Training|Transform)JobStatus":\s*"Stopped"`)
	reasonKind    = regexp.MustCompile(`^([A-Za-z]{1,60}Error):`)
	escape        = regexp.MustCompile(`\\(?:u[0-9A-Fa-f]{4}|.)`)
)

// reason takes name and text of an error out of what Step Functions gives for them. The cause of a job that failed is the whole description of
// the job as JSON, that of a function the error as JSON; the error is "States.TaskFailed".
func reason(name, cause string) (string, string) {
	if found := failureReason.FindStringSubmatch(cause); found != nil {
		why := unescape(found[1])
		if kind := reasonKind.FindStringSubmatch(why); kind != nil {
			name = kind[1]
		}
		return name, why
	}
	if found := jobStopped.FindStringSubmatch(cause); found != nil {
		why := "the " + strings.ToLower(found[1]) + " job was stopped"
		if strings.Contains(cause, "MaxRuntimeExceeded") {
			why += " by its time limit (MaxRuntimeExceeded)"
		}
		if found[1] == "Training" {
			return "Train.Stopped", why
		}
		return "Score.Stopped", why
	}
	var answer struct {
		ErrorMessage string `json:"errorMessage"`
		ErrorType    string `json:"errorType"`
	}
	if err := json.Unmarshal([]byte(cause), &answer); err == nil && answer.ErrorMessage != "" {
		if answer.ErrorType != "" && (name == "" || strings.HasPrefix(name, "States.") || strings.HasPrefix(name, "Lambda.")) {
			name = answer.ErrorType
		}
		return name, answer.ErrorMessage
	}
	return name, cause
}

// unescape reads what stands in a JSON string that may be cut off anywhere.
func unescape(s string) string {
	return escape.ReplaceAllStringFunc(s, func(e string) string {
		switch e[1] {
		case 'n', 'r', 't':
			return " "
		}
		var one string
		if err := json.Unmarshal([]byte(`"`+e+`"`), &one); err != nil {
			return e[1:]
		}
		return one
	})
}
