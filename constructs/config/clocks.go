package config

import (
	"fmt"
	"time"

	"sagemaker-datapipeline/lambda/pipeline"
)

// Clocks are the times after which somebody is told that there was no news of a pipeline: also when nothing ran at all. Where the
// schedule is off, only those that are written are watched.
type Clocks struct {
	// How many minutes ago a tick was last processed: by any end but a failure, a rollback or a pause.
	TickMinutes int `json:"tickMinutes" min:"1" max:"5256000" limit:"ten years" defaultText:"one and a half times the longest time between two ticks, and 30"`
	// How many minutes old the newest accepted data is.
	DataMinutes int `json:"dataMinutes" min:"1" max:"5256000" limit:"ten years" defaultText:"two and a half times the longest time between two ticks, and 60"`
	// How many minutes old the data is that the model in service was trained on, or compared with. Of pipelines that train.
	ModelMinutes int `json:"modelMinutes" min:"1" max:"5256000" limit:"ten years" defaultText:"three and a half times the longest time between two ticks or trainings, and 180, and the time that an approval may take; with training.when.afterRows, not watched"`
}

// ClockLimits are the pipeline's clocks in an environment, with the defaults of what it doesn't say. 0 is a clock that isn't
// watched: where the schedule is off, only what is said is.
func (p Pipeline) ClockLimits(e Environment) Clocks {
	limits := p.Clocks
	if !p.Schedule.Enabled {
		return limits
	}
	ticks := longestGap(p.Schedule)
	if limits.TickMinutes == 0 {
		limits.TickMinutes = inMinutes(ticks*3/2 + 30*time.Minute)
	}
	if limits.DataMinutes == 0 {
		limits.DataMinutes = inMinutes(ticks*5/2 + time.Hour)
	}
	if t := p.Training; limits.ModelMinutes == 0 && t != nil && (t.When == nil || t.When.AfterRows == 0) {
		limits.ModelMinutes = inMinutes(max(ticks, t.When.every())*7/2 + 3*time.Hour)
		if a := e.Approval; a != nil {
			limits.ModelMinutes += a.TimeoutHours * 60
		}
	}
	return limits
}

// inMinutes rounds up.
func inMinutes(d time.Duration) int { return int((d + time.Minute - 1) / time.Minute) }

// clocks finds clocks that would go off while everything is as it should be.
func (v validator) clocks(p *Pipeline, n *node) {
	if v.malformed.touch(n.at("schedule")) || checkSchedule(p.Schedule.Expression) != "" || checkTimeZone(p.Schedule.TimeZone) != "" {
		return
	}
	ticks := longestGap(p.Schedule)
	check := func(key string, minutes int, least time.Duration, why string) {
		if minutes > 0 && time.Duration(minutes)*time.Minute <= least {
			v.add(n.at("clocks", key), fmt.Sprintf("got %d", minutes), fmt.Sprintf("write more than %d: %s", inMinutes(least), why))
		}
	}
	between := fmt.Sprintf("there may be %s between two ticks of %s", plainly(ticks), p.Schedule.Expression)
	check("tickMinutes", p.Clocks.TickMinutes, ticks, between)
	check("dataMinutes", p.Clocks.DataMinutes, ticks, between)
	said := n.member("clocks").member("modelMinutes")
	switch t := p.Training; {
	case t == nil && !said.absent():
		v.add(said.path, said.said(), "leave it out: a pipeline without training has no model")
	case t != nil && t.When.every() > ticks:
		check("modelMinutes", p.Clocks.ModelMinutes, t.When.every(), "training.when lets a model get that old")
	default:
		check("modelMinutes", p.Clocks.ModelMinutes, ticks, between)
	}
}

// plainly says a duration in the unit that people would.
func plainly(d time.Duration) string {
	switch {
	case d >= 48*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%d hours", d/time.Hour)
	default:
		return fmt.Sprintf("%d minutes", inMinutes(d))
	}
}

// Approval is that a person decides on each model before it is put into service.
type Approval struct {
	// How many hours a model waits for a decision. Then the model in service stays, and a notice says so.
	TimeoutHours int `json:"timeoutHours" default:"72" min:"1" max:"336" limit:"two weeks: the history of an execution has an end"`
	// After how many hours people are reminded, and again each time.
	RemindHours int `json:"remindHours" default:"24" min:"1" max:"336"`
}

func (v validator) approval(e Environment, n *node) {
	if a := e.Approval; a != nil && a.RemindHours >= a.TimeoutHours {
		remedy := fmt.Sprintf("write at most %d", a.TimeoutHours-1)
		if a.TimeoutHours == 1 {
			remedy = "write at least 2 for timeoutHours"
		}
		v.add(n.at("approval", "remindHours"), fmt.Sprintf("got %d, with %d for timeoutHours", a.RemindHours, a.TimeoutHours),
			remedy+": people are reminded while there is still time")
	}
}

// deploys says what the pipeline's model becomes; empty in one that only exports.
func (p Pipeline) deploys() pipeline.Deploy {
	if p.Endpoint == nil {
		return ""
	}
	return p.Endpoint.Kind
}
