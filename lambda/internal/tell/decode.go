package tell

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/run"
)

// DecodeEnd reads an outcome.End that a state machine wrote. ok is false for what is no end: it names no outcome.
//
// Nothing in it is taken for granted: a value that is missing, null or of another type is read as what it means, or left out. JSONata makes
// an array of one member that member.
func DecodeEnd(b []byte) (end outcome.End, ok bool) {
	members, err := object(b)
	if err != nil {
		return outcome.End{}, false
	}
	if _, ok := members["outcome"]; !ok {
		return outcome.End{}, false
	}
	end = outcome.End{
		Outcome:    outcome.Outcome(text(members["outcome"])),
		Run:        run.ID(text(members["run"])),
		Data:       text(members["data"]) == "true",
		Uncompared: text(members["uncompared"]) == "true",
		Step:       text(members["step"]), Error: text(members["error"]), Cause: text(members["cause"]), Advice: text(members["advice"]),
		Execution: text(members["execution"]),
		Facts:     facts(members["facts"]),
	}
	if at, err := time.Parse(time.RFC3339, text(members["at"])); err == nil {
		end.At = at
	}
	return end, true
}

// DecodeReport reads what Function.Report asks to be told. ok is false for anything else.
func DecodeReport(b []byte) (report findings.Report, ok bool) {
	var asked examined
	if err := json.Unmarshal(b, &asked); err != nil || asked.Report == nil {
		return findings.Report{}, false
	}
	return *asked.Report, true
}

// object reads a JSON object with its numbers as they are written.
func object(b []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var members map[string]any
	err := d.Decode(&members)
	return members, err
}

// text is what people read of a value: a string as it is, null and what is missing as nothing, anything else as JSON.
func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return strings.ToValidUTF8(v, "?")
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	b, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(b)
}

// facts reads [{"name": …, "value": …}, …], one such object, or an object whose members are names and values. A fact without a value is left out.
func facts(value any) []outcome.Fact {
	switch v := value.(type) {
	case []any:
		var all []outcome.Fact
		for _, one := range v {
			all = append(all, facts(one)...)
		}
		return all
	case map[string]any:
		if name := text(v["name"]); name != "" {
			return fact(name, v["value"])
		}
		var all []outcome.Fact
		for _, name := range slices.Sorted(maps.Keys(v)) {
			all = append(all, fact(name, v[name])...)
		}
		return all
	}
	return fact("Fact", value)
}

func fact(name string, value any) []outcome.Fact {
	if said := text(value); said != "" {
		return []outcome.Fact{{Name: name, Value: said}}
	}
	return nil
}
