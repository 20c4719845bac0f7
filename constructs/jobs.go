package constructs

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"
)

// How patiently a workflow makes a job. docs/workflow.md has the table.
const (
	// maxAttempts is how many names a job can have in a run: -a2 to -a90. MaxNameLength leaves room for 99.
	maxAttempts = 90
	// maxTries is how often a job is asked for, or made, again after throttling, a lost answer or an internal error: about an
	// hour with the default poll interval.
	maxTries = 8
	// DefaultPatienceHours is how long a run waits for quotas and machines.
	DefaultPatienceHours = 6
	// startingHours is what a job may need beside its run time: waiting for a machine, loading the data, storing the result.
	startingHours = 2
)

// now is when the state was entered, in milliseconds since 1970.
const now = `$toMillis($states.context.State.EnteredTime)`

// How many polls a wait has at most; it begins with two and doubles.
const (
	maxQuotaPolls    = 20
	maxCapacityPolls = 60
	maxTryPolls      = 20
	maxLookPolls     = 10
)

// jobKind is a kind of job, as SageMaker's operations call it.
type jobKind struct {
	// noun is how notices call it, and what its quotas end in: "ml.m5.large for training job usage".
	noun string
	// operation is the part of the operations' names: "TrainingJob".
	operation string
	logGroup  string
}

var (
	trainingJob  = jobKind{noun: "training job", operation: "TrainingJob", logGroup: "/aws/sagemaker/TrainingJobs"}
	transformJob = jobKind{noun: "transform job", operation: "TransformJob", logGroup: "/aws/sagemaker/TransformJobs"}
)

func (k jobKind) nameMember() string   { return k.operation + "Name" }
func (k jobKind) statusMember() string { return k.operation + "Status" }

// job is a job that a run needs, whatever it takes to get it.
type job struct {
	kind    jobKind
	comment string
	// create is the name of the state that makes the job, and of the step; the other states of the loop are named beside it.
	create, ended, look, wait, watch, stop string
	// errors begins the names of failures that the workflow finds itself: "Train" gives "Train.TimeLimit".
	errors string
	// name is a JSONata expression of the job's name, which depends on $attempt.
	name string
	// arguments but the name.
	arguments map[string]any
	// instances is how many machines of one type the job asks for.
	instances int
	// instanceTypes in the order of preference: $machine is the index of the one that is asked for. The arguments depend on it.
	instanceTypes []string
	// isOurs is a JSONata condition on a description in $states.result: the job does what this one would. It holds for nothing
	// that lacks a member.
	isOurs string
	// anew is a JSONata condition: a job that was made before this execution began is not taken for this one.
	anew string
	// assign is what the job's end gives to variables, from its description in $states.result.
	assign variables
	// timeout of one attempt, with all its waiting for a machine.
	timeoutSeconds int
}

// begin gives the variables of a job's loop their first values. Whatever state comes before the loop assigns them.
func (f *flow) begin() variables {
	return variables{
		"attempt": 1, "machine": 0, "tries": 0, "delay": f.pollSeconds(),
		"patienceEnds": jsonata(fmt.Sprintf(now+` + %d`, int(*f.props.Training.Patience.ToMilliseconds(nil)))),
		"trouble":      map[string]any{"kind": nothing},
	}
}

// runJob makes the states of a job. It is a loop: what stopped an attempt, or what is there already under its name, is put into
// one of a few kinds of trouble ($trouble.kind), and each kind has one way on.
//
//	done      the job has completed
//	taken     there is a job of this name: look at it
//	busy      it is this run's, from a request whose answer was lost or an execution that died: wait for its end
//	other     it isn't, or has failed before: take the next name
//	capacity  AWS has no machine: the next type of the list, or wait and begin again with the first
//	quota     the quota is in use: wait
//	again     throttled, or nobody knows whether the request was carried out: ask again, under the same name
//	internal  the job failed for SageMaker's own reasons: wait and take the next name
//	overdue   the job hangs: stop it
//	final     anything else: a failure
func (f *flow) runJob(j job, then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	k := j.kind
	key := map[string]any{k.nameMember(): jsonata(j.name)}
	arguments := map[string]any{k.nameMember(): jsonata(j.name)}
	maps.Copy(arguments, j.arguments)
	assign := func(trouble string) variables {
		assigned := variables{"trouble": jsonata(trouble)}
		maps.Copy(assigned, j.assign)
		return assigned
	}

	ended := f.choice(j.ended, "What came of it, and what to do about it: the table in docs/workflow.md.", failing(j.create, jsonata(`$trouble.error`), fmt.Sprintf(
		`$trouble.cause & ($trouble.kind in ['quota', 'capacity'] ? ' It was waited for, up to %s.' : $trouble.kind in ['again', 'internal'] ? ' It was tried ' & $string($tries + 1) & ' times.' : '')`,
		duration(f.props.Training.Patience))))
	create := f.task(j.create, fmt.Sprintf("sagemaker:create%s.sync", k.operation), taskProps{
		comment:        j.comment,
		arguments:      arguments,
		timeoutSeconds: j.timeoutSeconds,
		assign:         assign(fmt.Sprintf(`$states.result.%s = 'Completed' ? {'kind': 'done'} : %s`, k.statusMember(), f.troubleExpression(j, `'States.TaskFailed'`, `$string($states.result)`))),
		onError:        ended,
		onErrorSets:    variables{"trouble": jsonata(f.troubleExpression(j, `$string($states.errorOutput.Error)`, `$exists($states.errorOutput.Cause) ? $string($states.errorOutput.Cause) : ''`))},
	})
	look := f.task(j.look, "aws-sdk:sagemaker:describe"+k.operation, taskProps{
		comment:   "Whose job is it that has the name, and what becomes of it?",
		arguments: key,
		assign:    assign(f.foundExpression(j)),
		step:      j.create,
		retries:   []*awsstepfunctions.RetryProps{f.retry(4, "SageMaker.SageMakerException", "SageMaker.SdkClientException", "SageMaker.ResourceNotFoundException")},
	})
	wait := f.waitFor(j.wait, "delay")
	watch := f.waitFor(j.watch, "delay")
	stop := f.task(j.stop, "aws-sdk:sagemaker:stop"+k.operation, taskProps{
		comment:     "What hangs costs money until it is stopped.",
		arguments:   key,
		onError:     f.failed,
		keepFailure: true,
	})
	stop.Next(f.failed)
	create.Next(ended)
	look.Next(ended)
	wait.Next(create)
	watch.Next(look)

	longer := func(most int) string {
		return jsonata(fmt.Sprintf(`$min([$delay * 2, %d])`, most*f.pollSeconds()))
	}
	const (
		nextName  = `{% $attempt + 1 %}`
		nextTry   = `{% $tries + 1 %}`
		moreNames = `$attempt < %d`
		patient   = now + ` < $patienceEnds`
	)
	namesLeft := fmt.Sprintf(moreNames, maxAttempts)
	triesLeft := fmt.Sprintf(`$tries < %d`, maxTries)
	is := func(kind string, and ...string) awsstepfunctions.Condition {
		return condition(strings.Join(append([]string{`$trouble.kind = '` + kind + `'`}, and...), " and "))
	}
	ended.
		When(is("done"), then, nil).
		When(is("taken"), look, nil).
		When(is("busy"), watch, when("It is this run's: its end is waited for.", variables{"delay": longer(maxLookPolls)})).
		When(is("other", namesLeft), create, when("", variables{"attempt": nextName})).
		When(is("capacity", namesLeft, fmt.Sprintf(`$machine < %d`, len(j.instanceTypes)-1)), create, when("Another type may have machines.", variables{"attempt": nextName, "machine": jsonata(`$machine + 1`)})).
		When(is("capacity", namesLeft, patient), wait, when("", variables{"attempt": nextName, "machine": 0, "delay": longer(maxCapacityPolls)})).
		When(is("quota", patient), wait, when("", variables{"delay": longer(maxQuotaPolls)})).
		When(is("again", triesLeft), wait, when("", variables{"tries": nextTry, "delay": longer(maxTryPolls)})).
		When(is("internal", triesLeft, namesLeft), wait, when("", variables{"attempt": nextName, "tries": nextTry, "delay": longer(maxTryPolls)})).
		When(is("overdue"), stop, when("", failing(j.create, jsonata(`$trouble.error`), `$trouble.cause`))).
		Otherwise(f.failed)
	return create
}

// jobPermissions are what the workflow calls to make jobs of a kind.
func (f *flow) jobPermissions(kind jobKind, sid, resource, rule string) []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{
		allow(sid, []string{
			"sagemaker:Create" + kind.operation, "sagemaker:Describe" + kind.operation, "sagemaker:Stop" + kind.operation,
			"sagemaker:AddTags", "sagemaker:ListTags",
		}, f.named(resource)),
		// Step Functions learns by this rule of its own that a job has ended.
		allow("HearOfTheEndOf"+kind.operation+"s", []string{"events:PutTargets", "events:PutRule", "events:DescribeRule"},
			f.stack.FormatArn(&awscdk.ArnComponents{Service: jsii.String("events"), Resource: jsii.String("rule"), ResourceName: jsii.String(rule)})),
	}
}

// waitFor makes a state that waits about as many seconds as a variable says: workflows that were stopped by the same thing don't
// come back all at once.
func (f *flow) waitFor(id, variable string) awsstepfunctions.Wait {
	return awsstepfunctions.Wait_Jsonata(f.scope, jsii.String(id), &awsstepfunctions.WaitJsonataProps{
		Time: awsstepfunctions.WaitTime_Seconds(jsii.String(jsonata(fmt.Sprintf(`$ceil($%s * (0.75 + $random() / 2))`, variable)))),
	})
}

// troubleExpression puts what stopped a job into a kind of trouble: {kind, error, cause}. The name of the error and its text are
// JSONata expressions; the text is AWS's, or the whole description of a job as JSON, cut off where it is long: so it is searched,
// not parsed. A backslash is \x5c because JSONata, looking for the end of a regular expression, takes a bracket after one as
// escaped.
//
// AWS words the same thing in many ways, and words it anew: what is known for sure is looked for first, and what nobody knows is
// final if it is said of a request or a job, and tried again if nothing is known of whether the request arrived.
func (f *flow) troubleExpression(j job, errorName, cause string) string {
	return fmt.Sprintf(`(
  $error := %[1]s; $cause := %[2]s;
  $says := function($form) { $contains($error & ': ' & $cause, $form) };
  $part := function($form) {( $found := $match($cause, $form, 1); $exists($found) ? $found[0].groups[0] : '' )};
  $figure := function($form) {( $digits := $part($form); $digits = '' ? -1 : $number($replace($digits, ',', '')) )};
  $reason := $replace($replace($part(/"FailureReason":\s*"((?:[^\x5c"]|\x5c.){1,1500})/), /\x5c[nrt]/, ' '), /\x5c(.)/, '$1');
  $status := $part(/"(?:Training|Transform)JobStatus":\s*"([A-Za-z]{1,20})"/);
  $named := $match($reason, /^\s*([A-Za-z]{1,60}):/, 1);
  $text := $substring($reason = '' ? $cause : $reason, 0, 1500);
  $log := $status = '' ? '' : ' Its log: %[3]s;prefix=' & %[4]s & ';streamFilter=typeLogStreamPrefix';
  $as := function($kind, $name, $said) { {'kind': $kind, 'error': $name, 'cause': $said} };
  $ofJob := function($kind) { $as($kind, $exists($named) ? $named[0].groups[0] : $error, $text & $log) };

  $limit := $figure(/(?:limit|quota)\b[\s\S]{0,200}?\bis ([0-9][0-9,]{0,12})/i);
  $asks := $figure(/request(?:ed)? (?:delta )?(?:of|is) ([0-9][0-9,]{0,12})/i);
  $quota := function() {(
    $quoted := $match($cause, /(?:limit|quota) +(?:for +)?['"]?([^'"]{1,100}?)['"]? +is [0-9]/i, 1);
    $name := $exists($quoted) ? $quoted[0].groups[0] : %[5]s & ' for %[6]s usage';
    $needs := $asks < 0 ? %[7]d : $asks;
    $limit >= 0 and $limit < $needs
      ? $as('final', '%[8]s.QuotaTooSmall', 'the quota "' & $name & '" is ' & $string($limit) & ', and the %[6]s needs ' & $string($needs) & ': no waiting helps. Ask for at least ' & $string($needs) & ' in Service Quotas, Amazon SageMaker, under that name, or take another instance type. AWS says: ' & $text)
      : $as('quota', $error, 'the quota "' & $name & '" is used up (Service Quotas, Amazon SageMaker): ' & $text)
  )};

  $status != '' ? (
      $status = 'Stopped' and $says(/MaxWaitTimeExceeded|"Interrupted"/) ? $as('capacity', 'CapacityError', 'AWS gave no spot machines in the time of MaxWait, or took them back.')
    : $status = 'Stopped' and $says(/MaxRuntimeExceeded/) ? $as('final', '%[8]s.TimeLimit', 'the %[6]s was stopped by its time limit (MaxRuntimeExceeded).' & $log)
    : $status = 'Stopped' ? $as('final', '%[8]s.Stopped', 'the %[6]s was stopped.' & $log)
    : $contains($reason, /^\s*(Algorithm|Client)Error/i) ? $ofJob('final')
    : $contains($reason, /capacity|unable to provision/i) ? $as('capacity', 'CapacityError', $text)
    : $contains($reason, /service limit|service quota|ResourceLimitExceeded/i) ? ( $q := $quota(); $q.kind = 'final' ? $q : $as('capacity', $q.error, $q.cause) )
    : $contains($reason, /internal ?(server|service)? ?(error|failure)|service ?unavailable|please (try|retry) again/i) ? $ofJob('internal')
    : $ofJob('final')
  )
  : $error = 'States.Timeout' ? $as('overdue', '%[8]s.TimedOut', 'the %[6]s ' & %[4]s & ' took longer than its time limit and %[9]d hours of waiting for machines; it was stopped')
  : $says(/ResourceInUse|already exists|already in use|must be unique|name is taken/i) ? $as('taken', $error, $text)
  : $says(/throttl|rate exceeded|too ?many ?requests|RequestLimitExceeded|slow ?down|Status Code: (429|408)/i) ? $as('again', $error, $text)
  : $says(/ResourceLimitExceeded|service limit|service quota|quota exceeded/i) ? $quota()
  : $says(/CapacityError|insufficient ?(instance ?)?capacity|unable to provision/i) ? $as('capacity', 'CapacityError', $text)
  : $says(/SdkClient|AmazonClientException|Status Code: 5[0-9][0-9]|InternalFailure|InternalServer|ServiceUnavailable/i) ? $as('again', $error, $text)
  : $says(/Status Code: 4[0-9][0-9]|AccessDenied|not authorized|ValidationException|validation error/i) ? $as('final', $error, $text)
  : $says(/internal ?(server|service)? ?(error|failure)|unavailable|timed? ?out|unable to execute http|connection|please (try|retry) again/i) ? $as('again', $error, $text)
  : $contains($error, /^SageMaker[.](Amazon)?(SageMaker|Service)Exception/) ? $as('again', $error, $text)
  : $as('final', $error, $text)
)`, errorName, cause, f.logLink(j.kind.logGroup), j.name, chosen(j.instanceTypes), j.kind.noun, j.instances, j.errors, startingHours)
}

// foundExpression says of the job that has the name, described in $states.result, what it is to this run. A job that was made since
// this execution began is this execution's, from a request whose answer was lost: what stopped it counts as if it had been heard.
func (f *flow) foundExpression(j job) string {
	return fmt.Sprintf(`(
  $millisOf := function($time) { $type($time) = 'string' ? ($contains($time, /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$/) ? $toMillis($time) : 0) : 0 };
  $made := $millisOf($states.result.CreationTime);
  $mine := $made >= $millisOf($states.context.Execution.StartTime);
  $status := $states.result.%[1]s;
  $otherwise := {'kind': 'other', 'error': '%[2]s.NamesUsedUp', 'cause': 'this run has made %[3]d attempts at its %[4]s, and all names are taken'};
  $boolean(%[5]s) and ($mine or $not(%[6]s)) ? (
      $status = 'Completed' ? {'kind': 'done'}
    : $status in ['InProgress', 'Stopping'] ? (%[11]s < $made + %[7]d ? {'kind': 'busy'}
      : {'kind': 'overdue', 'error': '%[2]s.TimedOut', 'cause': 'the %[4]s ' & %[8]s & ' took longer than its time limit and %[9]d hours of waiting for machines; it was stopped'})
    : $mine ? %[10]s
    : $otherwise
  ) : $otherwise
)`, j.kind.statusMember(), j.errors, maxAttempts, j.kind.noun, j.isOurs, j.anew, j.timeoutSeconds*1000, j.name, startingHours,
		f.troubleExpression(j, `'States.TaskFailed'`, `$string($states.result)`), now)
}

// logLink is the address of the streams of a log group that a job writes, but for the beginning of their names.
func (f *flow) logLink(group string) string {
	region := *f.stack.Region()
	domain := region + ".console.aws.amazon.com"
	switch {
	case strings.HasPrefix(region, "cn-"):
		domain = region + ".console.amazonaws.cn"
	case strings.HasPrefix(region, "us-gov-"):
		domain = region + ".console.amazonaws-us-gov.com"
	}
	return fmt.Sprintf("https://%s/cloudwatch/home?region=%s#logStream:group=%s", domain, region, group)
}

// pollSeconds is the poll interval.
func (f *flow) pollSeconds() int { return int(*f.props.PollInterval.ToSeconds(nil)) }

// chosen is a JSONata expression of the value that $machine says.
func chosen[T any](values []T) string {
	b, err := json.Marshal(values)
	check(err)
	return string(b) + `[$machine]`
}

// duration is a duration in words.
func duration(d awscdk.Duration) string {
	if minutes := int(*d.ToMinutes(&awscdk.TimeConversionOptions{Integral: jsii.Bool(false)})); minutes%60 == 0 && minutes > 0 {
		return fmt.Sprintf("%d h", minutes/60)
	} else if minutes > 0 {
		return fmt.Sprintf("%d minutes", minutes)
	}
	return fmt.Sprintf("%d seconds", int(*d.ToSeconds(nil)))
}
