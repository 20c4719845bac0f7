package metrics

import (
	"cmp"
	"math"
	"slices"
)

// machineEpsilon is the distance from 1 to the next float64. Probabilities are kept so far from 0 and 1, as scikit-learn does, so that a
// certain answer that is wrong costs much and not everything.
const machineEpsilon = 0x1p-52

// answers are what one model answers on a binary task, made ready to be measured many times.
type answers struct {
	// order are the rows by ascending score; nil when the rows lie so.
	order []uint32
	// last says of a place in the order that the next has another score.
	last []bool
	// cell of a row is its label, and 2 more when its score is above the threshold.
	cell []uint8
	// loss of a row; nil when a score is no probability.
	loss []float64
}

// binary lays the rows in the order of the candidate's scores, so that the half of the work that is the candidate's reads memory in order.
func (s Sample) binary() (func(counts []uint8) values, [2][3]string) {
	const noProbability = "a score is below 0 or above 1, and is no probability: the objective binary:logistic gives such"
	reasons := [3]string{"", noProbability, ""}
	rows := ascending(s.Candidate)
	labels, candidate := pick(s.Labels, rows), newAnswers(s.Labels, s.Candidate, rows, s.Threshold)
	candidate.order = nil
	if s.Champion == nil {
		return func(counts []uint8) values { return values{candidate.measure(counts)} }, [2][3]string{reasons}
	}
	scores := pick(s.Champion, rows)
	order := ascending(scores)
	champion := newAnswers(labels, scores, order, s.Threshold)
	// The champion's cells and losses are by row, its order leads to them.
	champion.cell, champion.loss = unpick(champion.cell, order), unpick(champion.loss, order)
	return func(counts []uint8) values {
		return values{candidate.measure(counts), champion.measure(counts)}
	}, [2][3]string{reasons, reasons}
}

// newAnswers lays cells and losses in the order of the scores.
func newAnswers(labels, scores []float64, order []uint32, threshold float64) answers {
	a := answers{order: order, last: make([]bool, len(order)), cell: make([]uint8, len(order)), loss: make([]float64, len(order))}
	for place, row := range order {
		score := scores[row]
		a.last[place] = place == len(order)-1 || scores[order[place+1]] != score
		if labels[row] == 1 {
			a.cell[place] = 1
		}
		if score > threshold {
			a.cell[place] += 2
		}
		a.loss[place] = logLoss(labels[row], score)
	}
	if scores[order[0]] < 0 || scores[order[len(order)-1]] > 1 {
		a.loss = nil
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
	cells, loss := a.sum(counts)
	positive, negative := cells[1]+cells[3], cells[0]+cells[2]
	auc := math.NaN() // of a resample with one class
	if positive > 0 && negative > 0 {
		auc = float64(a.halfWins(counts)) / (2 * float64(positive) * float64(negative))
	}
	f1 := 0.0
	if truePositive := cells[3]; truePositive > 0 {
		f1 = 2 * float64(truePositive) / float64(2*truePositive+cells[2]+cells[1])
	}
	return [3]float64{auc, loss / float64(positive+negative), f1}
}

func (a answers) sum(counts []uint8) (cells [4]uint64, loss float64) {
	for i, cell := range a.cell {
		cells[cell&3] += uint64(counts[i])
	}
	if a.loss == nil {
		return cells, math.NaN()
	}
	for i, l := range a.loss {
		loss += float64(float64(counts[i]) * l) // not fused: the same on every processor
	}
	return cells, loss
}

// halfWins counts the pairs of a positive and a negative row in which the positive has the higher score twice, and those with equal scores
// once: the Mann-Whitney statistic, which is the area under the ROC curve. MaxRows keeps it in an uint64.
func (a answers) halfWins(counts []uint8) uint64 {
	var wins, below uint64
	var tied [2]uint64
	for place, last := range a.last {
		row := uint32(place) //nolint:gosec // at most MaxRows
		if a.order != nil {
			row = a.order[place]
		}
		tied[a.cell[row]&1] += uint64(counts[row])
		if last {
			wins += tied[1] * (2*below + tied[0])
			below += tied[0]
			tied = [2]uint64{}
		}
	}
	return wins
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

// pick gives from's rows in an order, and unpick puts them back.
func pick[T any](from []T, rows []uint32) []T {
	to := make([]T, len(rows))
	for place, row := range rows {
		to[place] = from[row]
	}
	return to
}

func unpick[T any](from []T, rows []uint32) []T {
	if from == nil {
		return nil
	}
	to := make([]T, len(rows))
	for place, row := range rows {
		to[row] = from[place]
	}
	return to
}
