package notice

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// StepExport is the step of a run before its workflow.
const StepExport = "export"

// FromEnd makes the notice of how a run ended. There is one for every end, whatever it holds.
func FromEnd(spec pipeline.Spec, end outcome.End) Notice {
	end.Error, end.Cause = reason(end.Error, end.Cause)
	said, ok := sentences[end.Outcome]
	if !ok {
		said = sentences[outcome.Failed]
	}
	if end.Outcome == outcome.Superseded && end.Execution == "" {
		said = late
	}
	if spec.Deploy == pipeline.Batch && end.Outcome == outcome.Succeeded {
		said = scored
	}
	id := runName(end.Run)
	fill := filling(spec, end)

	var m strings.Builder
	fmt.Fprintf(&m, "%s\n", fill.Replace(said.happened))
	if end.Step == StepExport && end.Outcome == outcome.Failed {
		fmt.Fprintf(&m, "%s\n", unchanged(spec))
	}
	if why := because(end); why != "" {
		fmt.Fprintf(&m, "\nWhy: %s\n", why)
	}
	if do := whatToDo(spec, end, fill.Replace(said.do)); do != "" {
		fmt.Fprintf(&m, "\nWhat to do: %s\n", do)
	}
	if len(end.Facts) > 0 {
		m.WriteString("\n")
	}
	for _, f := range end.Facts {
		fmt.Fprintf(&m, "%s: %s\n", f.Name, f.Value)
	}
	m.WriteString(whereToLook(spec, end))
	if !end.At.IsZero() {
		fmt.Fprintf(&m, "\nIt ended at %s.\n", end.At.UTC().Format(time.RFC3339))
	}
	return Notice{
		Subject: subject(fmt.Sprintf("[%s] run %s %s", spec.Name(), id, fill.Replace(said.subject))),
		Message: Shorten(m.String(), maxMessage),
		Attributes: map[string]string{
			"pipeline": spec.Pipeline, "run": id, "outcome": string(end.Outcome), "routine": strconv.FormatBool(end.Routine()),
		},
	}
}

// sentence is what is said of an outcome: the end of the subject, what happened, and what to do. In braces is what is filled in.
type sentence struct{ subject, happened, do string }

const nothing = "nothing."

// sentences has every outcome. Failed has its own table of what to do, by step and error.
var sentences = map[outcome.Outcome]sentence{
	outcome.Succeeded: {
		"is in service",
		"The model of run {run} of {name} was put into service.",
		nothing,
	},
	outcome.NotBetter: {
		"is not better: the model before stays",
		"Run {run} of {name} has a model, and the gate did not let it into service. The model in service stays.",
		"nothing, if the figures are what you expect. If run after run ends so, the data or the hyperparameters have changed for the worse. See what serves now, and where it comes from:{explain}",
	},
	outcome.NotApproved: {
		"was refused: the model before stays",
		"Run {run} of {name} has a model, and a person refused to put it into service. The model in service stays.",
		nothing + " The model stays in the registry, and the next run trains another one.",
	},
	outcome.ApprovalTimedOut: {
		"waited for an approval in vain",
		"Run {run} of {name} has a model, and nobody approved or refused it in time. The model in service stays.",
		"if it should serve, this asks again:{deploy}\nOtherwise nothing: the next run's model asks for itself. Does nobody hear the requests, then subscribe somebody to this topic.",
	},
	outcome.Superseded: {
		"was superseded",
		"Run {run} of {name} ends without its model, because a later run was faster. What serves is what the later run put there, or the later run is on its way.",
		nothing + " If this run's model is the one to serve after all:{rollback}",
	},
	outcome.RolledBack: {
		"was rolled back",
		"Run {run} of {name} was put into service, didn't serve as it should, and was taken back: the model before it serves again.",
		"",
	},
	outcome.Failed: {
		"failed{at}",
		"Run {run} of {name} failed{at}.",
		"",
	},
	outcome.Exported: {
		"is exported",
		"The data of run {run} of {name} is committed. No training is started for it: the pipeline trains nothing, or none is due yet.",
		nothing,
	},
	outcome.Rejected: {
		"was rejected by its quality gate",
		"The data of run {run} of {name} is committed, and the quality gate keeps it out of training. Nothing of it is lost. The model in service stays.",
		"see whether the data or the rule is wrong. Wrong data is corrected where it comes from: a full load reads it anew at the next run, an append load leaves this run out. If this data is right after all:{accept}\n" +
			"If the data is different for good, and the next runs are to be compared with this one:{rebase}\n" +
			"If a rule asks too much, correct quality of pipelines.{pipeline} in cdk.json.",
	},
	outcome.NoNewData: {
		"had no new data",
		"Run {run} of {name} found nothing new to read since the run before it. The model in service stays.",
		nothing + " The next run looks again.",
	},
	outcome.Blocked: {
		"is blocked by an open transaction",
		"Run {run} of {name} read nothing: rows wait behind a transaction that is open in the database. Nothing is lost: the next run reads from the same place.",
		"end the transaction that is named here, or have its application end it. Until then every run ends so, and the data gets older.",
	},
	outcome.OutsideHours: {
		"came outside of the allowed hours",
		"Run {run} of {name} read nothing: the database may not be read at this hour (export.allowedHours).",
		nothing + " The next run within the hours reads what this one would have. If no run ever comes within them, move the schedule.",
	},
	outcome.Busy: {
		"found the run before still reading",
		"Run {run} of {name} read nothing: the run before it is still reading the database.",
		"nothing, now and then: the next run reads what this one would have. If every run ends so, the schedule is shorter than an export takes.",
	},
	outcome.Paused: {
		"did nothing: the pipeline is paused",
		"Run {run} of {name} did nothing: a person has paused the pipeline.",
		nothing + " The alarm on the last tick fires if the pause is forgotten. To go on before the pause ends by itself:{resume}",
	},
}

// scored is Succeeded without an endpoint.
var scored = sentence{
	"has scored its rows",
	"The rows of run {run} of {name} are scored by its model.",
	nothing,
}

// late is Superseded before the workflow: there is no model.
var late = sentence{
	"came too late",
	"Run {run} of {name} read nothing: a later run is committed already. What serves stays.",
	nothing + " The rows of an append load are in the later runs. Where the source has a window, this makes the run all the same, and trains nothing:{backfill}",
}

const maxMessage = 60_000 // bytes; SNS takes 256 KB, of which an escape can make six of one

// because says why: of a failure with the error's name.
func because(end outcome.End) string {
	switch {
	case end.Cause == "":
		return end.Error
	case end.Error == "" || strings.HasPrefix(end.Cause, end.Error+":"):
		return end.Cause
	}
	return end.Error + ": " + end.Cause
}

func whatToDo(spec pipeline.Spec, end outcome.End, usual string) string {
	switch {
	case end.Advice != "":
		return end.Advice
	case end.Step == StepExport && end.Outcome == outcome.Failed:
		return "" // the export's own messages say it
	case usual != "" && !(end.Outcome.Fault()):
		return usual
	}
	return advise(spec, end)
}

// whereToLook names the execution and the logs of the step, with a command for each.
func whereToLook(spec pipeline.Spec, end outcome.End) string {
	var m strings.Builder
	if arn := end.Execution; executionARN.MatchString(arn) {
		fmt.Fprintf(&m, "Where to look: the execution %s\n  aws stepfunctions get-execution-history --reverse-order --max-items 20 --execution-arn %s\n", arn, arn)
	} else if arn != "" {
		fmt.Fprintf(&m, "Where to look: the execution %q\n", arn)
	}
	if group := logGroup(spec, end.Step); group != "" && end.Outcome.Fault() {
		fmt.Fprintf(&m, "Log: %s\n  aws logs tail %s --since 1d\n", group, group)
	}
	if end.Execution == "" && end.Step != StepExport {
		fmt.Fprintf(&m, "Where to look: the log of the function %s-export, run %s\n", spec.Name(), runName(end.Run))
	}
	if m.Len() == 0 {
		return ""
	}
	return "\n" + m.String()
}

// executionARN is what may stand in a command.
var executionARN = regexp.MustCompile(`^arn:[A-Za-z0-9-]+:states:[A-Za-z0-9-]*:[0-9]*:[A-Za-z]+:[A-Za-z0-9_.:/-]+$`)

// logGroup is where SageMaker writes what the containers of a step say; "" for the steps that have none.
func logGroup(spec pipeline.Spec, step string) string {
	switch {
	case strings.HasPrefix(step, "Train"):
		return "/aws/sagemaker/TrainingJobs"
	case strings.HasPrefix(step, "Score"):
		return "/aws/sagemaker/TransformJobs"
	case strings.HasPrefix(step, "Deploy"), strings.HasPrefix(step, "Smoke"):
		return "/aws/sagemaker/Endpoints/" + spec.Name()
	}
	return ""
}

// runName is the run's id, or unknown.
func runName(id run.ID) string {
	if _, err := run.ParseID(string(id)); err != nil {
		return unknownRun
	}
	return string(id)
}

// scheduled is the time that a run's id is made from, as commands take it.
func scheduled(id run.ID) string {
	if at := id.Time(); !at.IsZero() {
		return at.UTC().Format(time.RFC3339)
	}
	return "TIME"
}

func atStep(step string) string {
	if step == "" {
		return ""
	}
	return " at " + step
}

// filling fills in what stands in braces in the texts. A command has a line of its own.
func filling(spec pipeline.Spec, end outcome.End) *strings.Replacer {
	id := runName(end.Run)
	line := func(name string, words ...string) string { return "\n  " + command(spec, name, words...) }
	return strings.NewReplacer(
		"{name}", spec.Name(), "{pipeline}", spec.Pipeline, "{run}", id, "{at}", atStep(end.Step), "{quota}", quotaAdvice(end.Cause),
		"{again}", "When the cause is gone:"+line("rerun", "-from", fromStep(end.Step), "-reason TEXT", id),
		"{backfill}", line("run", "-backfill", scheduled(end.Run)),
		"{deploy}", line("rerun", "-from deploy -reason TEXT", id),
		"{rollback}", line("rollback", "-reason TEXT", id),
		"{before}", line("rollback", "-reason TEXT"),
		"{accept}", line("accept", "-reason TEXT", id),
		"{rebase}", line("rebase-drift", "-reason TEXT"),
		"{explain}", line("explain"),
		"{resume}", line("resume"),
	)
}

// fromStep is what a run that failed at a step is executed again from.
func fromStep(step string) string {
	for _, s := range []struct{ step, from string }{
		{"Find champion", "evaluate"}, {"Score", "evaluate"}, {"Decide", "evaluate"},
		{"Register", "deploy"}, {"Approval", "deploy"}, {"Acquire lease", "deploy"}, {"Create endpoint config", "deploy"}, {"Deploy", "deploy"},
		{"Autoscaling", "deploy"}, {"Smoke test", "deploy"}, {"Put back", "deploy"}, {"Record service", "deploy"},
	} {
		if strings.HasPrefix(step, s.step) {
			return s.from
		}
	}
	return "train"
}

// command is one of the operator's, as it is typed in a working copy of the deployed configuration.
func command(spec pipeline.Spec, name string, words ...string) string {
	c := fmt.Sprintf("go run ./cmd/datapipeline %s -environment %s -pipeline %s", name, spec.Environment, spec.Pipeline)
	return strings.Join(append([]string{c}, words...), " ")
}
