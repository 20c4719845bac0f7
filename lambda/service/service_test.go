package service

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// The workflow's expressions read these members by their names, and a JSONata expression fails on a member that is missing: all are always there.
func TestTheAnswersAreWhatTheWorkflowReads(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer any
		want   string
	}{
		{"acquired", Acquired{Acquired: true, Holder: Holder{Run: "20260101t020000z", Execution: "arn"}},
			`{"acquired":true,"wait":false,"holder":{"run":"20260101t020000z","execution":"arn"},"superseded":false,"by":""}`},
		{"superseded", Acquired{Superseded: true, By: "20260101t020000z"},
			`{"acquired":false,"wait":false,"holder":{"run":"","execution":""},"superseded":true,"by":"20260101t020000z"}`},
		{"pending", Approval{Status: Pending}, `{"status":"pending","by":"","reason":"","remind":false}`},
		{"timed out", Approval{Status: TimedOut, Reason: "r"}, `{"status":"timed out","by":"","reason":"r","remind":false}`},
		{"recorded", Recorded{}, `{"previous":""}`},
		{"pruned", Pruned{Deleted: []string{}}, `{"deleted":[],"more":false}`},
		{"a lease", Lease{Holder: Holder{Run: "20260101t020000z", Execution: "arn"}, Since: time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)},
			`{"run":"20260101t020000z","execution":"arn","since":"2026-01-01T02:00:00Z"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := json.Marshal(c.answer); err != nil || string(got) != c.want {
				t.Fatalf("got %s, %v", got, err)
			}
		})
	}
}

func TestAHistoryIsReadAsItWasWritten(t *testing.T) {
	entry := Entry{
		Run: "20260101t020000z", Job: "j", Model: "m", Config: "c", Endpoint: "e", Kind: "endpoint", Execution: "arn",
		At: time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC), Previous: "p",
	}
	b, err := json.Marshal(Service{History: []Entry{entry}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if now, some := s.Now(); !some || now != entry {
		t.Fatalf("got %+v", s)
	}
	if _, some := (Service{}).Now(); some {
		t.Fatal("something is in service before the first model")
	}
	for _, other := range []string{"", "[]", `{"history":[{}]}`, strings.Replace(string(b), "20260101t020000z", "20261301t020000z", 1)} {
		if s, err := Decode([]byte(other)); err == nil {
			t.Errorf("%s was taken: %+v", other, s)
		}
	}
	// A field that a later change adds doesn't hide the history from this code.
	if _, err := Decode([]byte(strings.Replace(string(b), `{"history"`, `{"later":true,"history"`, 1))); err != nil {
		t.Error(err)
	}
}

// A request is what a person may type as well.
func FuzzDecodeRequest(f *testing.F) {
	f.Add([]byte(`{"command":"acquire","run":"20260101t020000z","execution":"arn","force":false}`))
	f.Add([]byte(`{"command":"approval","run":"20260101t020000z","package":"arn","asked":"2026-01-01T02:00:00.000Z","reminded":1,"timeoutSeconds":3600,"remindSeconds":60}`))
	f.Add([]byte(`{"command":"record","run":"20260101t020000z","execution":"arn","job":"j","model":"m","config":"c","endpoint":"e","kind":"batch"}`))
	f.Add([]byte(`{"command":"prune","keep":5}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRequest(b)
		if err != nil {
			return
		}
		if r.Command != Prune && r.Run.Time().IsZero() || r.Command == Prune && (r.Keep < 1 || r.Keep > HistoryLength) || r.Command == Approve && r.Asked.IsZero() {
			t.Fatalf("%s was taken as %+v", b, r)
		}
	})
}
