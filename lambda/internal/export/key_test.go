package export_test

import (
	"slices"
	"testing"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/pipeline"
)

// The rows that an overlap gives again are known by their keys.
func TestAnotherKeyIsAnotherQuery(t *testing.T) {
	w := newWorld(t)
	table := events(t)
	insert(t, table, at(0), 1, 2, 3)
	s := appending(table, pipeline.Cursor{Kind: pipeline.IdentityCursor, Column: "Id", Overlap: 100})
	w.run(s, 1, export.Committed)
	insert(t, table, at(1), 4)
	s.Dataset.Key = []string{"Id", "Amount"}
	w.refused(s, 2, "["+export.QueryChanged+"]")
	s.Source.OnChange = pipeline.NewGeneration
	w.run(s, 2, export.Committed)
	if got, want := w.amounts(), []int{1, 2, 3, 4}; !slices.Equal(got, want) {
		t.Fatalf("the newest generation holds %v, want %v", got, want)
	}
}
