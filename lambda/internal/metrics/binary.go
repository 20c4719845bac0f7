package metrics

import (
	"cmp"
	"math"
	"slices"
)

// machineEpsilon is the distance from 1 to the next float64. Probabilities are kept so far from 0 and 1, as scikit-learn does, so that a
// certain answer that is wrong costs much and not everything.
const machineEpsilon = 0x1p-52

// answers are what one model answers on a binary task, by ascending score, made ready to be measured many times.
type answers struct {
	// rows are those of the answers; nil when they are in the order of the rows themselves.
	rows []uint32
	// last says that the next answer has another score.
	last []bool
	// cell is the row's label, and 2 more when its score is above the threshold.
	cell []uint8
	// loss of the row; probabilities says that the scores are such as have one.
	loss          []float64
	probabilities bool
}

// binary lays the rows in the order of the candidate's scores, so that the half of the work that is the candidate's reads memory in order.
func (s Sample) binary() (func(counts []uint8) values, [2][3]string) {
	const noProbability = "a score is below 0 or above 1, and is no probability: the objective binary:logistic gives such"
	reasons := [3]string{"", noProbability, ""}
	rows := ascending(s.Candidate)
	candidate := newAnswers(s.Labels, s.Candidate, rows, s.Threshold)
	candidate.rows = nil
	if s.Champion == nil {
		return func(counts []uint8) values { return values{candidate.measure(counts)} }, [2][3]string{reasons}
	}
	scores := pick(s.Champion, rows)
	champion := newAnswers(pick(s.Labels, rows), scores, ascending(scores), s.Threshold)
	return func(counts []uint8) values {
		return values{candidate.measure(counts), champion.measure(counts)}
	}, [2][3]string{reasons, reasons}
}

func newAnswers(labels, scores []float64, rows []uint32, threshold float64) answers {
	n := len(rows)
	a := answers{
		rows: rows, last: make([]bool, n), cell: make([]uint8, n), loss: make([]float64, n),
		probabilities: scores[rows[0]] >= 0 && scores[rows[n-1]] <= 1,
	}
	for place, row := range rows {
		score := scores[row]
		a.last[place] = place == n-1 || scores[rows[place+1]] != score
		if labels[row] == 1 {
			a.cell[place] = 1
		}
		if score > threshold {
			a.cell[place] += 2
		}
		a.loss[place] = logLoss(labels[row], score)
	}
	return a
}

func logLoss(label, score float64) float64 {
	p := score
	if label == 0 {
		p = 1 - score
	}
	return -math.Log(min(max(p, machineEpsilon), 1-machineEpsilon))
}

// measure gives AUC, log loss and F1.
func (a answers) measure(counts []uint8) [3]float64 {
	var cells [4]uint64
	var loss float64
	// The pairs of a positive and a negative row in which the positive has the higher score count twice, those with equal scores once: the
	// Mann-Whitney statistic, which is the area under the ROC curve. MaxRows keeps it in an uint64.
	var wins, below uint64
	var tied [2]uint64
	for place, cell := range a.cell {
		row := uint32(place) //nolint:gosec // at most MaxRows
		if a.rows != nil {
			row = a.rows[place]
		}
		count := uint64(counts[row])
		cells[cell&3] += count
		loss += float64(float64(count) * a.loss[place]) // not fused: the same on every processor
		tied[cell&1] += count
		if a.last[place] {
			wins += tied[1] * (2*below + tied[0])
			below += tied[0]
			tied = [2]uint64{}
		}
	}
	positive, negative := cells[1]+cells[3], cells[0]+cells[2]
	measured := [3]float64{math.NaN(), math.NaN(), 0}
	if positive > 0 && negative > 0 { // a resample with one class has no AUC
		measured[0] = float64(wins) / (2 * float64(positive) * float64(negative))
	}
	if a.probabilities {
		measured[1] = loss / float64(positive+negative)
	}
	if truePositive := cells[3]; truePositive > 0 {
		measured[2] = 2 * float64(truePositive) / float64(2*truePositive+cells[2]+cells[1])
	}
	return measured
}

// ascending gives the rows by ascending score, and of equal ones by their place.
func ascending(scores []float64) []uint32 {
	rows := make([]uint32, len(scores))
	for i := range rows {
		rows[i] = uint32(i) //nolint:gosec // at most MaxRows
	}
	slices.SortFunc(rows, func(a, b uint32) int { return cmp.Or(cmp.Compare(scores[a], scores[b]), cmp.Compare(a, b)) })
	return rows
}

// pick gives numbers in the order of rows.
func pick(from []float64, rows []uint32) []float64 {
	to := make([]float64, len(rows))
	for place, row := range rows {
		to[place] = from[row]
	}
	return to
}
