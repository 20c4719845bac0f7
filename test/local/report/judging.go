package report

import (
	"fmt"
	"strings"

	"sagemaker-datapipeline/lambda/evaluation"
)

// judgement is what was decided about one run, in words.
type judgement struct {
	Number           int
	Rules, Candidate string
	Champion         string
	Decision, Reason string
	// Failed are the rules that were not satisfied.
	Failed []string
}

// judgements are those of a pipeline's runs; empty where nothing was judged.
func judgements(ticks []Tick) []judgement {
	var all []judgement
	for i, t := range ticks {
		if t.Verdict == nil && t.Evaluation == nil {
			continue
		}
		j := judgement{Number: i + 1, Rules: "none"}
		if v := t.Verdict; v != nil {
			failed := v.Failed()
			j.Rules = fmt.Sprintf("%s: %d of %d hold", v.Decision, len(v.Rules)-len(failed), len(v.Rules))
			for _, r := range failed {
				j.Failed = append(j.Failed, fmt.Sprintf("%s: expected %s, is %s", r.Name, r.Expected, r.Actual))
			}
			j.Decision = string(v.Decision)
		}
		if e := t.Evaluation; e != nil {
			j.Candidate = Estimated(e.Metric, e.Estimate)
			j.Decision, j.Reason = string(e.Decision), e.Reason
			if e.Compared != nil {
				if estimate, ok := e.ChampionMetrics[e.Metric]; ok {
					j.Champion = Estimated(e.Metric, estimate)
				} else if e.ChampionValue != nil {
					j.Champion = number(*e.ChampionValue)
				}
				j.Champion += ", run " + string(e.Compared.Run)
			}
		}
		all = append(all, j)
	}
	return all
}

// Estimated is a metric with its interval: "auc 0.910 (0.897 to 0.921)".
func Estimated(m evaluation.Metric, e evaluation.Estimate) string {
	return fmt.Sprintf("%s %.3f (%.3f to %.3f)", m, e.Value, e.Low, e.High)
}

// others are the further metrics of a run's model, with their intervals.
func others(t Tick) string {
	if t.Evaluation == nil {
		return ""
	}
	var texts []string
	for _, task := range [][]evaluation.Metric{{evaluation.AUC, evaluation.LogLoss, evaluation.F1}, {evaluation.RMSE, evaluation.MAE, evaluation.WAPE}} {
		for _, m := range task {
			if e, ok := t.Evaluation.Metrics[m]; ok && m != t.Evaluation.Metric {
				texts = append(texts, Estimated(m, e))
			}
		}
	}
	return strings.Join(texts, ", ")
}

// age is a duration in seconds as people say it.
func age(s float64) string {
	switch {
	case s < 100:
		return fmt.Sprintf("%.0f s", s)
	case s < 100*60:
		return fmt.Sprintf("%.0f min", s/60)
	case s < 72*3600:
		return fmt.Sprintf("%.0f h", s/3600)
	}
	return fmt.Sprintf("%.0f days", s/86400)
}
