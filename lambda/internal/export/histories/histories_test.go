package histories

import (
	"flag"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"sagemaker-datapipeline/lambda/pipeline"
)

const (
	// checks is rapid's flag for the number of histories.
	checks = "rapid.checks"
	// historiesOfAKind makes more than ten thousand of all.
	historiesOfAKind = 600
)

// kinds are what the table of guarantees tells apart.
var kinds = []kind{
	{load: pipeline.Append, cursor: pipeline.RowversionCursor, isolation: versioning},
	{load: pipeline.Append, cursor: pipeline.RowversionCursor, isolation: versioning, snapshot: true},
	{load: pipeline.Append, cursor: pipeline.RowversionCursor, isolation: locking},
	{load: pipeline.Append, cursor: pipeline.RowversionCursor, isolation: versioning, restores: true},
	{load: pipeline.Append, cursor: pipeline.RowversionCursor, isolation: versioning, pages: true},
	{load: pipeline.Append, cursor: pipeline.RowversionCursor, isolation: versioning, pages: true, children: true},
	{load: pipeline.Append, cursor: pipeline.RowversionCursor, isolation: versioning, channels: true, restores: true},
	{load: pipeline.Append, cursor: pipeline.IdentityCursor, overlap: 1000, isolation: versioning},
	{load: pipeline.Append, cursor: pipeline.IdentityCursor, overlap: 2, isolation: versioning},
	{load: pipeline.Append, cursor: pipeline.TimeCursor, overlap: 24 * 60 * 60, isolation: versioning},
	{load: pipeline.Append, cursor: pipeline.TimeCursor, overlap: 20 * 60, isolation: versioning},
	{load: pipeline.Full, isolation: versioning},
	{load: pipeline.Full, isolation: versioning, snapshot: true},
	{load: pipeline.Full, isolation: locking},
	{load: pipeline.Full, isolation: versioning, pages: true},
	{load: pipeline.Full, isolation: locking, pages: true},
	{load: pipeline.Full, isolation: versioning, pages: true, children: true},
}

// Whatever happens, what is committed is what the table of guarantees says of its load and isolation.
func TestEveryHistoryKeepsItsGuarantee(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			want, err := strconv.Atoi(flag.Lookup(checks).Value.String())
			if err != nil {
				t.Fatal(err)
			}
			if testing.Short() {
				want /= 5 // as rapid does
			}
			// Rapid stops early when a day is over by the clock, which is the histories' own here.
			for played := 0; played < want && !t.Failed(); {
				inBubble(t, func(t *testing.T) {
					rapid.Check(withoutDeadline{t}, func(r *rapid.T) {
						played++
						h := newHistory(drawn{r}, k, doubles{})
						if err := h.play(); err != nil {
							for _, line := range h.trace {
								r.Log(line)
							}
							r.Fatal(err)
						}
					})
				})
			}
		})
	}
}

// drawn is draws by rapid.
type drawn struct{ *rapid.T }

func (d drawn) between(low, high int, what string) int {
	return rapid.IntRange(low, high).Draw(d.T, what)
}

// withoutDeadline is a test whose deadline rapid doesn't ask for: in a bubble there is none.
type withoutDeadline struct{ rapid.TB }
