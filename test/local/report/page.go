package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

// Write writes the result as one page of HTML. It holds no address of anything outside itself.
func Write(path string, r Result) error {
	var b bytes.Buffer
	if err := page().Execute(&b, r); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func page() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"age":       age,
		"answers":   answers,
		"bytes":     bytesText,
		"clock":     func(r Result, at float64) string { return clock(r.StartedAt, at) },
		"curves":    curves,
		"features":  features,
		"deref":     func(x *float64) string { return number(*x) },
		"width":     func(start, end, of float64) string { return fmt.Sprintf("%.3f%%", 100*(end-start)/max(of, 1e-9)) },
		"file":      filepath.Base,
		"hasNumber": numbered.MatchString,
		"changed": func(ticks []Tick) bool {
			return slices.ContainsFunc(ticks, func(t Tick) bool { return len(t.Changes) > 0 })
		},
		"counts":  Counts,
		"head":    HeadText,
		"last":    func(ticks []Tick) Tick { return ticks[len(ticks)-1] },
		"judged":  judgements,
		"lanes":   lanes,
		"newest":  newest,
		"pieces":  Pieces,
		"which":   Range,
		"lines":   func(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") },
		"number":  number,
		"percent": func(x float64) float64 { return 100 * x },
		"ordinal": func(i int) int { return i + 1 },
		"others":  others,
		"overdue": func(clocks []Clock) bool {
			return slices.ContainsFunc(clocks, func(c Clock) bool { return c.Age > c.Limit })
		},
		"scatter":   scatter,
		"seconds":   seconds,
		"share":     func(x, of float64) string { return fmt.Sprintf("%.3f%%", 100*x/max(of, 1e-9)) },
		"stages":    stages,
		"status":    status,
		"trainings": trainings,
	}).Parse(pageText))
}

// numbered are the steps that are runs: "fraud 1".
var numbered = regexp.MustCompile(` \d+$`)

// lane is what is on one line of the timeline: a step, or all runs of a pipeline.
type lane struct {
	Name, Took string
	Steps      []Step
}

// lanes puts the runs of each pipeline on one line. A step of which the record isn't closed takes no time.
func lanes(steps []Step) []lane {
	var all []lane
	for _, s := range steps {
		name := numbered.ReplaceAllString(s.Name, "")
		i := slices.IndexFunc(all, func(l lane) bool { return l.Name == name })
		if i < 0 {
			i, all = len(all), append(all, lane{Name: name})
		}
		s.End = max(s.Start, s.End)
		all[i].Steps = append(all[i].Steps, s)
	}
	for i := range all {
		l := &all[i]
		last := l.Steps[len(l.Steps)-1]
		if l.Took = last.State; last.State == Done {
			l.Took = seconds(last.End - l.Steps[0].Start)
		}
	}
	return all
}

// newest is the last run that was committed; nil when none was.
func newest(ticks []Tick) *Tick {
	for _, t := range slices.Backward(ticks) {
		if t.Manifest.Load != "" {
			return &t
		}
	}
	return nil
}

// status says how a pipeline stands.
func status(p Pipeline) string {
	for _, t := range p.Ticks {
		if t.Outcome != "succeeded" {
			return Failed
		}
	}
	return Done
}

// stage is one step of a run on its way from the event to the endpoint.
type stage struct {
	Name    string
	Seconds float64
	Visits  int
	Failed  bool
}

// stages are the export and the workflow's states that took time or matter to a reader.
func stages(t Tick) []stage {
	var list []stage
	if !t.Manifest.CommittedAt.IsZero() {
		list = append(list, stage{Name: "Export", Seconds: t.Manifest.CommittedAt.Sub(t.Manifest.StartedAt).Seconds(), Visits: 1})
	}
	for _, s := range t.States {
		list = append(list, stage{s.Name, s.Seconds, s.Visits, s.Failed})
	}
	return list
}

// feature is a feature's name with the value of the row that was asked for.
type feature struct{ Name, Value string }

func features(t Tick) []feature {
	values := strings.Split(t.Prediction.Request, ",")
	var list []feature
	for i, f := range t.Signature.Features {
		if i < len(values) {
			value := values[i]
			if x, err := strconv.ParseFloat(value, 64); err == nil && len(value) > 8 {
				value = number(x)
			}
			if value == "" {
				value = "NULL"
			}
			list = append(list, feature{f.Name, value})
		}
	}
	return list
}

func trainings(t Tick) string {
	var texts []string
	for _, m := range t.Training {
		texts = append(texts, fmt.Sprintf("%s %.4g", m.Name, m.Value))
	}
	return strings.Join(texts, ", ")
}

func clock(start time.Time, at float64) string {
	return start.Add(time.Duration(at * float64(time.Second))).UTC().Format("15:04:05")
}

func seconds(s float64) string {
	switch {
	case s < 0.05:
		return "< 0.1 s"
	case s < 100:
		return fmt.Sprintf("%.1f s", s)
	}
	return fmt.Sprintf("%d min %d s", int(s)/60, int(s)%60)
}

// number writes an integer with separators, and another number as short as it can be read.
func number(v any) string {
	var text string
	switch n := v.(type) {
	case int:
		text = fmt.Sprint(n)
	case int64:
		text = fmt.Sprint(n)
	case float64:
		return fmt.Sprintf("%.4g", n)
	default:
		return fmt.Sprint(v)
	}
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func bytesText(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
