package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// Command is what the release function is asked.
type Command string

// The commands.
const (
	// Acquire takes the lease, unless a later run is in service. The answer is an Acquired.
	Acquire Command = "acquire"
	// Release gives the lease back. The answer is empty.
	Release Command = "release"
	// Approve looks what people say of a registered model. The answer is an Approval.
	Approve Command = "approval"
	// Record writes down what is in service now. The answer is a Recorded.
	Record Command = "record"
	// Prune deletes configs and models that nobody needs. The answer is a Pruned.
	Prune Command = "prune"
)

// Request is the event of the release function. Each command uses the fields that are named for it.
type Request struct {
	Command Command `json:"command"`

	// Run and Execution are who asks: of Acquire, Release, Approve (the run alone) and Record.
	Run       run.ID `json:"run,omitempty"`
	Execution string `json:"execution,omitempty"`

	// Force takes the lease although a later run is in service: a person rolls back.
	Force bool `json:"force,omitempty"`

	// Package is the ARN of the model package that Approve looks at, Asked when people were asked, and Reminded how often they were reminded since.
	Package  string    `json:"package,omitempty"`
	Asked    time.Time `json:"asked,omitzero"`
	Reminded int       `json:"reminded,omitempty"`
	// TimeoutSeconds is how long Approve waits after Asked, and RemindSeconds how long after it, and after each reminder, people are reminded. 0: never.
	TimeoutSeconds int64 `json:"timeoutSeconds,omitempty"`
	RemindSeconds  int64 `json:"remindSeconds,omitempty"`

	// Job, Model, Config, Endpoint and Kind are what Record writes down.
	Job      string          `json:"job,omitempty"`
	Model    string          `json:"model,omitempty"`
	Config   string          `json:"config,omitempty"`
	Endpoint string          `json:"endpoint,omitempty"`
	Kind     pipeline.Deploy `json:"kind,omitempty"`

	// Keep is how many models of the history Prune keeps, with the one in service: 1 to HistoryLength.
	Keep int `json:"keep,omitempty"`
}

// Acquired is the answer to Acquire: exactly one of its three flags is true.
type Acquired struct {
	// Acquired: the lease is the execution's, also when it was before.
	Acquired bool `json:"acquired"`
	// Wait: Holder has it and is running. Ask again.
	Wait   bool   `json:"wait"`
	Holder Holder `json:"holder"`
	// Superseded: the run By, which is later, is in service. The lease isn't held.
	Superseded bool   `json:"superseded"`
	By         run.ID `json:"by"`
}

// Status is what became of the question whether a registered model may be put into service.
type Status string

// The statuses of an Approval.
const (
	Approved Status = "approved"
	Refused  Status = "refused"
	// Pending: nobody has decided yet. Ask again.
	Pending Status = "pending"
	// Superseded: a later run has registered its model, so nobody decides on this one.
	Superseded Status = "superseded"
	TimedOut   Status = "timed out"
)

// Approval is the answer to Approve.
type Approval struct {
	Status Status `json:"status"`
	// By is who decided, as far as the registry knows; of Superseded the later run.
	By string `json:"by"`
	// Reason is what that person wrote, or why it was decided without one.
	Reason string `json:"reason"`
	// Remind says that people are to be reminded now. The next request counts it in Reminded.
	Remind bool `json:"remind"`
}

// Recorded is the answer to Record.
type Recorded struct {
	// Previous is the config that served before; empty for the first, and of a batch.
	Previous string `json:"previous"`
}

// Pruned is the answer to Prune.
type Pruned struct {
	// Deleted are the names of configs and models, in the order in which they were deleted.
	Deleted []string `json:"deleted"`
	// More says that there is more to delete: the next release goes on.
	More bool `json:"more"`
}

// DecodeRequest reads the event of the release function, strictly, and says what a command lacks.
func DecodeRequest(b []byte) (Request, error) {
	var r Request
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Request{}, fmt.Errorf("decoding the request: %w", err)
	}
	return r, r.check()
}

func (r Request) check() error {
	var missing []string
	need := func(name, value string) {
		if value == "" {
			missing = append(missing, name)
		}
	}
	switch r.Command {
	case Acquire, Release:
		need("run", string(r.Run))
		need("execution", r.Execution)
	case Approve:
		need("run", string(r.Run))
		need("package", r.Package)
		if r.Asked.IsZero() {
			missing = append(missing, "asked")
		}
	case Record:
		need("run", string(r.Run))
		need("execution", r.Execution)
		need("job", r.Job)
		need("model", r.Model)
		need("kind", string(r.Kind))
		if r.Kind != pipeline.Batch {
			need("config", r.Config)
			need("endpoint", r.Endpoint)
		}
	case Prune:
		if r.Keep < 1 || r.Keep > HistoryLength {
			return fmt.Errorf("keep is %d: the history has %d entries at most, and the model in service is one that is kept", r.Keep, HistoryLength)
		}
		return nil
	case "":
		return errors.New(`the request has no "command": it is one of acquire, release, approval, record, prune`)
	default:
		return fmt.Errorf("the command %q is not one of acquire, release, approval, record, prune", r.Command)
	}
	if len(missing) > 0 {
		return fmt.Errorf("the command %q lacks %s", r.Command, strings.Join(missing, ", "))
	}
	if _, err := run.ParseID(string(r.Run)); err != nil {
		return fmt.Errorf("the command %q: %w", r.Command, err)
	}
	return nil
}
