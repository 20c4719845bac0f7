package pipeline

import "testing"

func TestWhichColumnsAreRead(t *testing.T) {
	for _, c := range []struct {
		name    string
		dataset Dataset
		column  string
		read    bool
	}{
		{"all, where nothing is said", Dataset{}, "Card", true},
		{"not one that is dropped", Dataset{Drop: []string{"Note", "Card"}}, "Card", false},
		{"not one that is dropped in another case", Dataset{Drop: []string{"CARD"}}, "card", false},
		{"one that is included", Dataset{Include: []string{"Id", "Card"}}, "card", true},
		{"not one that isn't included", Dataset{Include: []string{"Id"}}, "Card", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.dataset.Reads(c.column); got != c.read {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestAnotherKeyOfAnAppendLoadReadsAsAnotherSource(t *testing.T) {
	spec := func(load Load, rules map[string]ColumnRule, key ...string) Spec {
		return Spec{Source: Source{Load: load}, Dataset: Dataset{Key: key, Columns: rules}}
	}
	hashed := map[string]ColumnRule{"Id": {Hash: true}}
	for _, c := range []struct {
		name string
		a, b Spec
		same bool
	}{
		{"one key", spec(Append, nil, "Id"), spec(Append, nil, "ID"), true},
		{"another key", spec(Append, nil, "Id"), spec(Append, nil, "Number"), false},
		{"another order", spec(Append, nil, "Id", "Line"), spec(Append, nil, "Line", "Id"), false},
		{"a key that is hashed from now on", spec(Append, nil, "Id"), spec(Append, hashed, "Id"), false},
		{"a rule for another column", spec(Append, nil, "Number"), spec(Append, hashed, "Number"), true},
		{"another key of a full load, whose runs stand alone", spec(Full, nil, "Id"), spec(Full, nil, "Number"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if a, b := c.a.ReadsAs("SELECT 1"), c.b.ReadsAs("SELECT 1"); (a == b) != c.same {
				t.Errorf("%q and %q", a, b)
			}
		})
	}
}
