package export_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/pipeline"
)

// The driver reads the bytes of a UTF-8 collation in a code page, so they have to come as Unicode, from tables and from queries.
func TestTextInUTF8ArrivesAsItIs(t *testing.T) {
	table := fmt.Sprintf("dbo.Utf%d", worlds.Add(1))
	execute(t, "CREATE TABLE "+table+" (Id int NOT NULL PRIMARY KEY, A varchar(40) COLLATE Latin1_General_100_CI_AS_SC_UTF8 NULL, B char(9) COLLATE Latin1_General_100_CI_AS_SC_UTF8 NULL, C varchar(max) COLLATE Latin1_General_100_CI_AS_SC_UTF8 NULL, D varchar(20) COLLATE Cyrillic_General_CI_AS NULL)")
	execute(t, "INSERT INTO "+table+" VALUES (1, N'Grüße, 世界 😀', N'é', N'λ', N'Привет'), (2, NULL, NULL, NULL, NULL)")
	for _, source := range []pipeline.Source{{Table: table}, {Query: "SELECT * FROM " + table}, {Query: "SELECT Id, A, B, C, D FROM " + table + " WHERE Id > 0"}} {
		w := newWorld(t)
		w.run(spec(source, pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"Id"}}), 0, export.Committed)
		got := w.duckdb(w.committed(), "SELECT A, B, C, D FROM files ORDER BY Id")
		if want := []string{"Grüße, 世界 😀", "é" + strings.Repeat(" ", 7), "λ", "Привет"}; !slices.Equal(got[0], want) || got[1][0] != "NULL" {
			t.Errorf("%s gave %q, want %q", source.Table+source.Query, got, want)
		}
	}
}
