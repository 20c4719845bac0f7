package heldout

import (
	"math"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

// The expected values are scikit-learn's (roc_auc_score, log_loss) for the same rows.
func TestBinary(t *testing.T) {
	tests := []struct {
		name           string
		labels, scores []float64
		auc, logLoss   float64
	}{
		{"scores that separate have the whole area", []float64{0, 0, 1, 1}, []float64{.1, .2, .8, .9}, 1, 0.164252033},
		{"scores that are reversed have none", []float64{1, 1, 0, 0}, []float64{.1, .2, .8, .9}, 0, 1.956011503},
		{"equal scores count half", []float64{0, 1, 0, 1}, []float64{.5, .5, .5, .5}, .5, 0.693147181},
		{"one pair in the wrong order costs its share", []float64{0, 0, 1, 1}, []float64{.1, .4, .35, .8}, .75, 0.472287964},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := Binary(test.labels, test.scores, .5)
			if err != nil {
				t.Fatal(err)
			}
			if !near(m.AUC, test.auc) || !near(m.LogLoss, test.logLoss) {
				t.Errorf("AUC %.9f, log loss %.9f; want %.9f, %.9f", m.AUC, m.LogLoss, test.auc, test.logLoss)
			}
			if first, last := m.Plot[0], m.Plot[len(m.Plot)-1]; first != (Point{0, 0}) || last != (Point{1, 1}) {
				t.Errorf("the curve goes from %v to %v, not from corner to corner", first, last)
			}
		})
	}
}

func TestBinaryNeedsBothLabels(t *testing.T) {
	if _, err := Binary([]float64{0, 0}, []float64{.1, .2}, .5); err == nil {
		t.Error("no error for rows without a positive label")
	}
}

func TestPrecisionAndRecallCountAtTheThreshold(t *testing.T) {
	m, err := Binary([]float64{1, 1, 0, 0, 1}, []float64{.9, .6, .7, .1, .2}, .5)
	if err != nil {
		t.Fatal(err)
	}
	if !near(m.Precision, 2.0/3) || !near(m.Recall, 2.0/3) || !near(m.BaseRate, .6) {
		t.Errorf("precision %f, recall %f, base rate %f", m.Precision, m.Recall, m.BaseRate)
	}
}

func TestRegression(t *testing.T) {
	m, err := Regression([]float64{10, 20, 30}, []float64{12, 18, 33}, []float64{10, 10, 10}, "Lag7")
	if err != nil {
		t.Fatal(err)
	}
	if !near(m.RMSE, math.Sqrt(17.0/3)) || !near(m.MAE, 7.0/3) || !near(m.WAPE, 7.0/60) || !near(m.NaiveWAPE, .5) {
		t.Errorf("%+v", m)
	}
}
