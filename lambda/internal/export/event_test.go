package export_test

import (
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
