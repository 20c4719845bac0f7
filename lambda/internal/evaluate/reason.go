package evaluate

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"sagemaker-datapipeline/lambda/evaluation"
)

// judge fills in the decision and its reason: one sentence that says what was measured, what was asked for, and how sure the difference is.
func judge(r *evaluation.Report, against opponent) {
	parts := []string{fmt.Sprintf("%s is %s on %s hold-out rows", r.Metric, estimate(r.Estimate), thousands(r.Holdout.Rows))}
	r.Decision = evaluation.Better
	if r.Compared == nil && against.reason == "" {
		r.Decision = evaluation.First
	}
	fail := func(part string) {
		parts = append(parts, part)
		r.Decision = evaluation.NotBetter
	}
	if limit := r.Gate.AtLeast; limit != nil {
		if beyond(r.Value, *limit, true) {
			value, _ := apart(r.Value, *limit)
			fail(fmt.Sprintf("that is %s, below the %s that the gate asks for", value, plain(*limit)))
		} else {
			parts = append(parts, fmt.Sprintf("the gate asks for at least %s", plain(*limit)))
		}
	}
	if limit := r.Gate.AtMost; limit != nil {
		if beyond(r.Value, *limit, false) {
			value, _ := apart(r.Value, *limit)
			fail(fmt.Sprintf("that is %s, above the %s that the gate allows", value, plain(*limit)))
		} else {
			parts = append(parts, fmt.Sprintf("the gate allows at most %s", plain(*limit)))
		}
	}
	switch {
	case against.refused != "":
		fail(against.refused)
	case r.Compared != nil:
		part, worse := compare(*r)
		if worse {
			fail(part)
		} else {
			parts = append(parts, part)
		}
	case against.reason != "":
		parts = append(parts, against.reason)
	default:
		parts = append(parts, "nothing in service can be compared with it")
	}
	r.Reason = strings.Join(parts, "; ")
}

// compare says how the candidate stands to the champion, and whether it is worse than the gate allows.
func compare(r evaluation.Report) (string, bool) {
	champion := r.ChampionMetrics[r.Metric]
	tooMuch := beyond(r.Value, r.Compared.Allowed, r.Metric.HigherIsBetter())
	said := fmt.Sprintf("the model in service (run %s) has %s", r.Compared.Run, estimate(champion))
	if !r.Compared.Paired {
		said = fmt.Sprintf("the model in service (run %s) had %s on the same rows when it was evaluated", r.Compared.Run, estimate(champion))
	}
	gain := r.Value - champion.Value
	if !r.Metric.HigherIsBetter() {
		gain = -gain
	}
	how := "better"
	if gain < 0 {
		how = "worse"
	}
	if gain == 0 {
		return said + ", and the candidate is as good", false
	}
	said += fmt.Sprintf(", and the candidate is %s by %s", how, figure(math.Abs(gain)))
	if difference, paired := r.Compared.Differences[r.Metric]; paired {
		low, high := difference.Low, difference.High
		if r.Value < champion.Value {
			low, high = -high, -low // of what the sentence says, which is without a sign
		}
		chance := "no more than chance explains"
		if low > 0 || high < 0 {
			chance = "more than chance explains"
		}
		said += fmt.Sprintf(" (95 %% interval %s to %s), %s", figure(low), figure(high), chance)
	}
	share := percent(r.Gate.Worse)
	switch {
	case tooMuch:
		_, limit := apart(r.Value, r.Compared.Allowed)
		return said + fmt.Sprintf("; the gate allows it to be worse by %s, which is %s", share, limit), true
	case gain < 0:
		return said + fmt.Sprintf(", within the %s that the gate allows", share), false
	}
	return said, false
}

func estimate(e evaluation.Estimate) string {
	return fmt.Sprintf("%s (95 %% interval %s to %s)", figure(e.Value), figure(e.Low), figure(e.High))
}

// digits is how many digits of a number are worth reading.
const digits = 4

// figure writes a number without an exponent, with as many digits as people read.
func figure(x float64) string { return significant(x, digits) }

func significant(x float64, n int) string {
	if x == 0 {
		return "0"
	}
	magnitude := int(math.Floor(math.Log10(math.Abs(x))))
	if magnitude > 15 || magnitude < -9 {
		return strconv.FormatFloat(x, 'g', n, 64)
	}
	return strconv.FormatFloat(x, 'f', max(0, n-1-magnitude), 64)
}

// apart writes two numbers with enough digits to see that they differ, if they do.
func apart(a, b float64) (string, string) {
	n := digits
	for n < 17 && a != b && significant(a, n) == significant(b, n) {
		n++
	}
	return significant(a, n), significant(b, n)
}

// plain writes a number as somebody put it into the configuration.
func plain(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

func percent(part float64) string {
	return plain(math.Round(part*1e8)/1e6) + " %"
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
