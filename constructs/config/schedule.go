package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checkSchedule reads a schedule expression as EventBridge Scheduler does and says what to write instead where it would
// refuse it; "" is a good expression. Source: EventBridge Scheduler's user guide, "Schedule types". What the guide doesn't
// promise (a range that wraps around, a step of weekdays) isn't taken either: it would fail at the deployment, or worse,
// run at other times than meant.
func checkSchedule(expression string) string {
	kind, rest, _ := strings.Cut(expression, "(")
	inner, closed := strings.CutSuffix(rest, ")")
	switch {
	case kind == "at":
		return "a pipeline's schedule recurs: write cron(…) or rate(…); for a single run, start it by hand"
	case (kind == "cron" || kind == "rate") && !closed:
		return fmt.Sprintf("close the expression: %s(…)", kind)
	case kind == "cron":
		return checkCron(inner)
	case kind == "rate":
		return checkRate(inner)
	case strings.HasPrefix(expression, "@") || len(strings.Fields(expression)) >= 5:
		return "write cron(minutes hours day-of-month month day-of-week year), such as cron(0 2 * * ? *)"
	default:
		return "write cron(minutes hours day-of-month month day-of-week year), such as cron(0 2 * * ? *), or rate(value unit), such as rate(5 minutes)"
	}
}

var rateParts = regexp.MustCompile(`^([0-9]+) ([a-z]+)$`)

func checkRate(inner string) string {
	const example = "such as rate(5 minutes), rate(1 hour) or rate(7 days)"
	parts := rateParts.FindStringSubmatch(inner)
	if parts == nil {
		return "write rate(value unit) with a whole number, " + example
	}
	value, err := strconv.Atoi(parts[1])
	if err != nil || value < 1 || value > 100_000 {
		return "write a rate with a whole number of at least 1, " + example
	}
	unit := strings.TrimSuffix(parts[2], "s")
	switch unit {
	case "second":
		return "write at least a minute: nothing faster can be scheduled"
	case "minute", "hour", "day":
	case "week":
		return fmt.Sprintf("write it in days: rate(%d days)", 7*value)
	default:
		return "write minutes, hours or days, " + example
	}
	if value == 1 && parts[2] != unit {
		return fmt.Sprintf("write it in the singular: rate(1 %s)", unit)
	}
	if value > 1 && parts[2] == unit {
		return fmt.Sprintf("write it in the plural: rate(%d %ss)", value, unit)
	}
	return ""
}

// ratePeriod is the time between two runs of a rate expression; 0 for any other.
func ratePeriod(expression string) time.Duration {
	inner, isRate := strings.CutPrefix(expression, "rate(")
	inner, closed := strings.CutSuffix(inner, ")")
	if !isRate || !closed || checkRate(inner) != "" {
		return 0
	}
	parts := rateParts.FindStringSubmatch(inner)
	value, err := strconv.Atoi(parts[1])
	if err != nil {
		return 0
	}
	units := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}
	return time.Duration(value) * units[strings.TrimSuffix(parts[2], "s")]
}

// cronField is one field of a cron expression.
type cronField struct {
	name     string
	low      int
	high     int
	names    []string // of low, low+1 …
	question bool     // takes ?
	steps    bool     // takes /
}

var (
	months   = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	weekdays = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}

	cronFields = []cronField{
		{name: "minutes", low: 0, high: 59, steps: true},
		{name: "hours", low: 0, high: 23, steps: true},
		{name: "day-of-month", low: 1, high: 31, question: true, steps: true},
		{name: "month", low: 1, high: 12, names: months, steps: true},
		{name: "day-of-week", low: 1, high: 7, names: weekdays, question: true},
		{name: "year", low: 1970, high: 2199, steps: true},
	}
)

const (
	dayOfMonth = 2
	month      = 3
	dayOfWeek  = 4
)

func checkCron(inner string) string {
	fields := strings.Fields(inner)
	if len(fields) == 5 {
		return fmt.Sprintf("add the year, the sixth field: %s; and mind that days of the week are SUN-SAT or 1-7 here, from Sunday on", repairDays(append(fields, "*")))
	}
	if len(fields) != len(cronFields) {
		return fmt.Sprintf("write six fields (minutes hours day-of-month month day-of-week year) instead of %d, such as cron(0 2 * * ? *)", len(fields))
	}
	var remedies []string
	days, monthsOfYear := []int{}, []int{}
	for i, field := range cronFields {
		values, remedy := field.values(fields[i])
		if remedy != "" {
			remedies = append(remedies, fmt.Sprintf("in the field %s (%q): %s", field.name, fields[i], remedy))
		}
		switch i {
		case dayOfMonth:
			days = values
		case month:
			monthsOfYear = values
		}
	}
	if remedies != nil {
		return strings.Join(remedies, "; ")
	}
	if questions := strings.Count(fields[dayOfMonth]+fields[dayOfWeek], "?"); questions != 1 {
		return fmt.Sprintf("write ? in exactly one of day-of-month and day-of-week: %s", repairDays(fields))
	}
	if !everHappens(days, monthsOfYear) {
		return "none of these months has such a day, so this would never run: change day-of-month or month"
	}
	return ""
}

// repairDays puts the ? where it was probably meant.
func repairDays(fields []string) string {
	f := slices.Clone(fields)
	unbound := func(i int) bool { return f[i] == "*" || f[i] == "?" }
	switch {
	case unbound(dayOfMonth) && unbound(dayOfWeek):
		f[dayOfMonth], f[dayOfWeek] = "*", "?"
	case unbound(dayOfMonth):
		f[dayOfMonth] = "?"
	default:
		f[dayOfWeek] = "?"
	}
	return "cron(" + strings.Join(f, " ") + ")"
}

var longest = []int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// everHappens says whether one of the days is in one of the months. Without days any day will do.
func everHappens(days, monthsOfYear []int) bool {
	if len(days) == 0 {
		return true
	}
	return slices.ContainsFunc(monthsOfYear, func(m int) bool { return slices.Min(days) <= longest[m-1] })
}

// values gives the values that the field stands for, or says what to write instead. ?, L and W have no values of their own.
func (f cronField) values(field string) (values []int, remedy string) {
	if field == "?" {
		if !f.question {
			return nil, "? is for day-of-month and day-of-week: write *"
		}
		return nil, ""
	}
	entries := strings.Split(strings.ToUpper(field), ",")
	special := false
	for _, entry := range entries {
		if entry == "" {
			return nil, "take the empty entry out of the list"
		}
		if len(entries) > 1 && (entry == "*" || entry == "?" || strings.Contains(entry, "#")) {
			return nil, fmt.Sprintf("%s stands alone, not in a list", entry)
		}
		if ok, remedy := f.special(entry); remedy != "" {
			return nil, remedy
		} else if ok {
			special = true
			continue
		}
		more, remedy := f.entry(entry)
		if remedy != "" {
			return nil, remedy
		}
		values = append(values, more...)
	}
	if special {
		// One of the days exists in every month that has it; the plain ones don't decide any more.
		return nil, ""
	}
	return values, ""
}

var (
	lastWeekdayEntry = regexp.MustCompile(`^([0-9]+)L$`)
	nthWeekdayEntry  = regexp.MustCompile(`^([0-9]+|[A-Z]{3})#([0-9]+)$`)
	nearWeekdayEntry = regexp.MustCompile(`^([0-9]+)W$`)
)

// special reads the entries with L, W and #.
func (f cronField) special(entry string) (ok bool, remedy string) {
	switch f.name {
	case cronFields[dayOfMonth].name:
		if entry == "L" || entry == "LW" {
			return true, ""
		}
		if near := nearWeekdayEntry.FindStringSubmatch(entry); near != nil {
			_, remedy := f.value(near[1])
			return true, remedy
		}
	case cronFields[dayOfWeek].name:
		if entry == "L" {
			return true, ""
		}
		if last := lastWeekdayEntry.FindStringSubmatch(entry); last != nil {
			_, remedy := f.value(last[1])
			return true, remedy
		}
		if nth := nthWeekdayEntry.FindStringSubmatch(entry); nth != nil {
			if n, err := strconv.Atoi(nth[2]); err != nil || n < 1 || n > 5 {
				return false, "a month has such a day of the week 1 to 5 times: 3#2 is the second Tuesday"
			}
			_, remedy := f.value(nth[1])
			return true, remedy
		}
		if strings.Contains(entry, "/") {
			return false, "write the days in a list, such as MON,WED,FRI: days of the week have no steps"
		}
	}
	return false, ""
}

// entry reads a value, a range, or either with a step.
func (f cronField) entry(entry string) (values []int, remedy string) {
	span, stepText, hasStep := strings.Cut(entry, "/")
	step := 1
	if hasStep {
		n, err := strconv.Atoi(stepText)
		if err != nil || n < 1 || n > f.high {
			return nil, fmt.Sprintf("write a step from 1 to %d behind the /", f.high)
		}
		step = n
	}
	from, to := f.low, f.high
	first, last, isRange := strings.Cut(span, "-")
	switch {
	case span == "*":
	case isRange:
		if from, remedy = f.value(first); remedy != "" {
			return nil, remedy
		}
		if to, remedy = f.value(last); remedy != "" {
			return nil, remedy
		}
		if from > to {
			return nil, fmt.Sprintf("the range %s runs backwards: write %s-%d,%d-%s", span, first, f.high, f.low, last)
		}
	default:
		if from, remedy = f.value(span); remedy != "" {
			return nil, remedy
		}
		if !hasStep {
			to = from
		}
	}
	for i := from; i <= to; i += step {
		values = append(values, i)
	}
	return values, ""
}

func (f cronField) value(s string) (value int, remedy string) {
	if i := slices.Index(f.names, s); i >= 0 {
		return f.low + i, ""
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < f.low || n > f.high {
		remedy := fmt.Sprintf("write %d to %d", f.low, f.high)
		if f.names != nil {
			remedy += fmt.Sprintf(", or %s to %s", f.names[0], f.names[len(f.names)-1])
		}
		return 0, remedy
	}
	return n, ""
}
