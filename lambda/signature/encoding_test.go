package signature

import "testing"

func TestAnEncodingMakesColumns(t *testing.T) {
	countries := Encoding{Kind: OneHot, Categories: []string{"DE", "FR", "IT"}}
	levels := Encoding{Kind: Ordinal, Categories: []string{"low", "high"}}
	for _, c := range []struct {
		name     string
		encoding Encoding
		value    string
		want     string
		width    int
	}{
		{"one of several columns is 1", countries, "FR", "0,1,0", 3},
		{"trailing spaces don't count", countries, "IT  ", "0,0,1", 3},
		{"case does", countries, "de", "0,0,0", 3},
		{"a place", levels, "high", "1", 1},
		{"no place", levels, "", "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(c.encoding.Append(nil, c.encoding.Place(c.value))); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got := (Feature{Encoding: &c.encoding}).Width(); got != c.width {
				t.Errorf("the width is %d, want %d", got, c.width)
			}
		})
	}
	if got := (Feature{}).Width(); got != 1 {
		t.Errorf("a number has %d columns", got)
	}
}
