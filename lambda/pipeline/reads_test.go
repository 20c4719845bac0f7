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
