package export

import (
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/pipeline"
)

func TestWhatIsHiddenIsRefusedWhereItIsRead(t *testing.T) {
	masked := sqlserver.Hidden{Consent: pipeline.AcceptMasked, Table: "dbo.T", Column: "Card", What: `column "Card" of dbo.T is masked`, Remedy: "list it under dataset.drop"}
	policy := sqlserver.Hidden{Consent: pipeline.AcceptRowSecurity, Table: "dbo.T", What: "the security policy P filters the rows of dbo.T", Remedy: "let the login pass"}
	for _, c := range []struct {
		name    string
		kind    string
		hidden  sqlserver.Hidden
		dataset pipeline.Dataset
		accept  []pipeline.Consent
		refused string
	}{
		{"a masked column", "table", masked, pipeline.Dataset{}, nil, "is masked: list it under dataset.drop [HiddenData]"},
		{"a masked column that is dropped", "table", masked, pipeline.Dataset{Drop: []string{"card"}}, nil, ""},
		{"a masked column that isn't included", "table", masked, pipeline.Dataset{Include: []string{"Id"}}, nil, ""},
		{"a masked column that was accepted", "table", masked, pipeline.Dataset{}, []pipeline.Consent{pipeline.AcceptMasked}, ""},
		// A view may give the column another name, and its own column that is dropped may be another.
		{"a masked column below a view", "view", masked, pipeline.Dataset{Drop: []string{"Card"}}, nil, "is masked"},
		{"a policy, whatever is read", "table", policy, pipeline.Dataset{Include: []string{"Id"}}, nil, "filters the rows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &Exporter{Spec: pipeline.Spec{Source: pipeline.Source{Table: "dbo.T", Load: pipeline.Full, Accept: c.accept}, Dataset: c.dataset}}
			err := e.checkSource(Survey{From: "table dbo.T", Table: &sqlserver.Table{Kind: c.kind}, Hidden: []sqlserver.Hidden{c.hidden}})
			if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
				t.Fatalf("got %v, want %q", err, c.refused)
			}
		})
	}
}
