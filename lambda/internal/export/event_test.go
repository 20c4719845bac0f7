package export_test

import (
	"strings"
	"testing"
	"time"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/run"
)

// An event is what a person types into the console as well.
func FuzzDecodeEvent(f *testing.F) {
	f.Add([]byte(`{"scheduledTime":"2026-01-01T02:00:00Z"}`))
	f.Add([]byte(`{"scheduledTime":"9999-12-31T23:59:59-23:59"}`))
	f.Add([]byte(`{"command":"partition","plan":{"key":"k","etag":"e"},"partition":"p00000"}`))
	f.Add([]byte(`{"command":"rebaseline","reason":"restored","by":"ana","keepWatermark":true}`))
	f.Add([]byte(`{"command":"accept","run":"20260101t020000z","reason":"a sale","by":"ana"}`))
	f.Add([]byte(`{"source":"aws.cloudformation","detail-type":"CloudFormation Stack Status Change"}`))
	f.Fuzz(func(t *testing.T, event []byte) {
		e, err := export.DecodeEvent(event, time.Now())
		if err != nil || e.Command != "" {
			return
		}
		at, err := run.ParseScheduledTime(e.ScheduledTime)
		if err != nil {
			t.Fatalf("%s was taken, and its time is refused: %v", event, err)
		}
		if id := run.NewID(at); !id.Time().Equal(at) || len(id) != run.IDLength {
			t.Fatalf("%s gave run %s", event, id)
		}
	})
}

func TestCommandsThatPeopleAnswerForNeedTheirNames(t *testing.T) {
	for _, c := range []struct{ name, event, problem string }{
		{"a run that is accepted", `{"command":"accept","run":"20260101t020000z","reason":"a sale","by":"ana"}`, ""},
		{"no run", `{"command":"accept","reason":"a sale","by":"ana"}`, `needs the run: {"run": "20260101t020000z"}`},
		{"a run that is none", `{"command":"accept","run":"../x","reason":"a sale","by":"ana"}`, "run id"},
		{"nobody accepts", `{"command":"accept","run":"20260101t020000z","reason":"a sale"}`, `needs "reason" and "by"`},
		{"no reason", `{"command":"rebase-drift","by":"ana"}`, `needs "reason" and "by"`},
		{"another baseline", `{"command":"rebase-drift","reason":"new prices","by":"ana"}`, ""},
		{"another command", `{"command":"reject"}`, "is not one of doctor, status, rebaseline, sweep, pause, resume, accept, rebase-drift,"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := export.DecodeEvent([]byte(c.event), time.Now())
			if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want %q", err, c.problem)
			}
		})
	}
}
