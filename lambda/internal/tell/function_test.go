package tell

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/outcome"
)

// queue records what Lambda is asked to invoke.
type queue struct {
	asked  []*lambda.InvokeInput
	refuse error
}

func (q *queue) Invoke(_ context.Context, in *lambda.InvokeInput, _ ...func(*lambda.Options)) (*lambda.InvokeOutput, error) {
	q.asked = append(q.asked, in)
	return &lambda.InvokeOutput{StatusCode: 202}, q.refuse
}

func TestWhatIsHandedOverIsWhatIsTold(t *testing.T) {
	q := &queue{}
	f := Function{API: q, ARN: "arn:notify"}
	end := outcome.End{
		Run: "20260101t020000z", Outcome: outcome.Rejected, At: time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC), Cause: "7 rows",
		Facts: []outcome.Fact{{Name: "Rows", Value: "7"}, {Name: `IsComplete "a"`, Value: "expected 1, was 0.5"}},
	}
	if err := f.Tell(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	report := findings.Report{Pipeline: "ml-dev-fraud", At: end.At, Findings: []findings.Finding{{Check: "connection", Severity: findings.Error, Found: "refused", Remedy: "open it"}}}
	if err := f.Report(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	for _, in := range q.asked {
		if *in.FunctionName != "arn:notify" || in.InvocationType != types.InvocationTypeEvent {
			t.Errorf("%s is invoked as %s", *in.FunctionName, in.InvocationType)
		}
	}
	if got, ok := DecodeEnd(q.asked[0].Payload); !ok || !reflect.DeepEqual(got, end) {
		t.Errorf("of the end arrives %+v", got)
	}
	if got, ok := DecodeReport(q.asked[0].Payload); ok {
		t.Errorf("the end is read as the report %+v", got)
	}
	if got, ok := DecodeReport(q.asked[1].Payload); !ok || !reflect.DeepEqual(got, report) {
		t.Errorf("of the report arrives %+v", got)
	}
	if got, ok := DecodeEnd(q.asked[1].Payload); ok {
		t.Errorf("the report is read as the end %+v", got)
	}
	q.refuse = errors.New("not today")
	for what, err := range map[string]error{"an end": f.Tell(t.Context(), end), "a report": f.Report(t.Context(), report)} {
		if err == nil || err.Error() != "invoking arn:notify: not today" {
			t.Errorf("%s that Lambda refuses gives %v", what, err)
		}
	}
}

func TestWhateverIsHandedOverFitsAnEvent(t *testing.T) {
	const maxEvent = 1_000_000 // bytes of an asynchronous invocation (Lambda, API reference of Invoke: 1 MB)
	long := strings.Repeat("\x01", 50_000)
	q := &queue{}
	f := Function{API: q}
	end := outcome.End{Run: "20260101t020000z", Outcome: outcome.Rejected, Cause: long, Error: long, Step: long, Advice: long, Execution: long}
	report := findings.Report{Findings: []findings.Finding{{Check: "rows", Severity: findings.OK, Found: "fine"}}}
	for i := range 500 {
		end.Facts = append(end.Facts, outcome.Fact{Name: fmt.Sprint("rule ", i), Value: long})
		report.Findings = append(report.Findings, findings.Finding{Check: fmt.Sprint("column ", i), Severity: findings.Warning, Found: long, Remedy: long})
	}
	report.Findings = append(report.Findings, findings.Finding{Check: "connection", Severity: findings.Error, Found: "refused"})
	if err := errors.Join(f.Tell(t.Context(), end), f.Report(t.Context(), report)); err != nil {
		t.Fatal(err)
	}
	for _, in := range q.asked {
		if n := len(in.Payload); n > maxEvent {
			t.Errorf("an event has %d bytes", n)
		}
	}
	told, ok := DecodeReport(q.asked[1].Payload)
	if n := len(told.Findings); !ok || n < 2 || told.Findings[0].Check != "connection" || told.Findings[n-1].Found != fmt.Sprintf("%d more findings, which the doctor answers with when it is asked", 502-(n-1)) {
		t.Errorf("of 502 findings arrive %d: %.300v", n, told.Findings)
	}
}
