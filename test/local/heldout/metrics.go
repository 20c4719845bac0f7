// Package heldout measures a deployed model on rows that it was not trained on: the test channel of the run's own export,
// asked through the endpoint as a caller would ask.
package heldout

import (
	"fmt"
	"math"
	"slices"
)

// Metrics is how well scores fit labels.
type Metrics struct {
	// Task is "binary" or "regression".
	Task string `json:"task"`
	Rows int    `json:"rows"`

	// For binary labels: the area under the ROC curve, the mean log loss in nats, the share of positive labels, and at the
	// threshold the share of alarms that are right and the share of positives that are found.
	AUC       float64 `json:"auc,omitempty"`
	LogLoss   float64 `json:"logLoss,omitempty"`
	BaseRate  float64 `json:"baseRate,omitempty"`
	Threshold float64 `json:"threshold,omitempty"`
	Precision float64 `json:"precision,omitempty"`
	Recall    float64 `json:"recall,omitempty"`

	// For regression: root mean squared error, mean absolute error, and the sum of absolute errors as a share of the sum of
	// the labels, for the model and for a naive forecast that needs no model.
	RMSE      float64 `json:"rmse,omitempty"`
	MAE       float64 `json:"mae,omitempty"`
	WAPE      float64 `json:"wape,omitempty"`
	NaiveWAPE float64 `json:"naiveWape,omitempty"`
	// Naive is the feature that is the naive forecast.
	Naive string `json:"naive,omitempty"`

	// Plot is the ROC curve (x: false positive rate, y: true positive rate), or a sample of rows (x: actual, y: predicted).
	Plot []Point `json:"plot,omitempty"`
}

// Point is a point of a plot.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Headline is the one number that tells how good the model is, with its name.
func (m Metrics) Headline() string {
	if m.Task == "binary" {
		return fmt.Sprintf("AUC %.3f", m.AUC)
	}
	if m.Naive != "" {
		return fmt.Sprintf("WAPE %.1f %% (naive %.1f %%)", 100*m.WAPE, 100*m.NaiveWAPE)
	}
	return fmt.Sprintf("WAPE %.1f %%", 100*m.WAPE)
}

// plotPoints bounds the points of a plot: more can't be told apart, and make the report heavy.
const plotPoints = 400

// Binary measures scores between 0 and 1 against labels that are 0 or 1.
func Binary(labels, scores []float64, threshold float64) (Metrics, error) {
	m := Metrics{Task: "binary", Rows: len(labels), Threshold: threshold}
	if len(labels) != len(scores) {
		return m, fmt.Errorf("%d labels, but %d scores", len(labels), len(scores))
	}
	order := make([]int, len(labels))
	var positives, alarms, hits float64
	for i, label := range labels {
		order[i] = i
		// A score of exactly 0 or 1 would make one wrong row's loss infinite; this is scikit-learn's bound for float32.
		const eps = 1.1920929e-07
		p := min(max(scores[i], eps), 1-eps)
		if label == 1 {
			positives++
			m.LogLoss -= math.Log(p)
		} else {
			m.LogLoss -= math.Log(1 - p)
		}
		if scores[i] > threshold {
			alarms++
			hits += label
		}
	}
	negatives := float64(len(labels)) - positives
	if positives == 0 || negatives == 0 {
		return m, fmt.Errorf("an AUC needs both labels: %.0f positive and %.0f negative rows", positives, negatives)
	}
	m.LogLoss /= float64(len(labels))
	m.BaseRate = positives / float64(len(labels))
	m.Recall = hits / positives
	if alarms > 0 {
		m.Precision = hits / alarms
	}

	// The curve from the highest score down; rows with one score are one step, so that ties count half, as in the
	// Mann-Whitney statistic.
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	curve := []Point{{0, 0}}
	var tp, fp float64
	for i := 0; i < len(order); {
		score := scores[order[i]]
		for ; i < len(order) && scores[order[i]] == score; i++ {
			if labels[order[i]] == 1 {
				tp++
			} else {
				fp++
			}
		}
		last, next := curve[len(curve)-1], Point{fp / negatives, tp / positives}
		m.AUC += (next.X - last.X) * (next.Y + last.Y) / 2
		curve = append(curve, next)
	}
	m.Plot = thinCurve(curve)
	return m, nil
}

// thinCurve keeps the points that are visibly apart.
func thinCurve(curve []Point) []Point {
	const apart = 2.0 / plotPoints
	kept := curve[:1:1]
	for _, p := range curve[1 : len(curve)-1] {
		last := kept[len(kept)-1]
		if p.X-last.X+p.Y-last.Y >= apart {
			kept = append(kept, p)
		}
	}
	return append(kept, curve[len(curve)-1])
}

// Regression measures predictions against labels. naive holds a forecast for each row that needs no model, under its
// name; nil leaves it out.
func Regression(labels, predictions, naive []float64, naiveName string) (Metrics, error) {
	m := Metrics{Task: "regression", Rows: len(labels)}
	if len(labels) != len(predictions) || naive != nil && len(naive) != len(labels) {
		return m, fmt.Errorf("%d labels, but %d predictions and %d naive ones", len(labels), len(predictions), len(naive))
	}
	if len(labels) == 0 {
		return m, fmt.Errorf("there are no held-out rows")
	}
	var squares, errors, naiveErrors, sum float64
	for i, label := range labels {
		d := predictions[i] - label
		squares += d * d
		errors += math.Abs(d)
		sum += math.Abs(label)
		if naive != nil {
			naiveErrors += math.Abs(naive[i] - label)
		}
	}
	if sum == 0 {
		return m, fmt.Errorf("every label is 0: a share of the labels can't be computed")
	}
	n := float64(len(labels))
	m.RMSE, m.MAE, m.WAPE = math.Sqrt(squares/n), errors/n, errors/sum
	if naive != nil {
		m.Naive, m.NaiveWAPE = naiveName, naiveErrors/sum
	}
	// Every k-th row: the split is by a hash, so the rows are in no order that this could favour.
	step := max(1, len(labels)/plotPoints)
	for i := 0; i < len(labels); i += step {
		m.Plot = append(m.Plot, Point{labels[i], predictions[i]})
	}
	return m, nil
}
