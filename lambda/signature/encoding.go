package signature

import (
	"slices"
	"strconv"
	"strings"
)

// The kinds of encodings.
const (
	// OneHot is a column of 0 or 1 for each category.
	OneHot = "oneHot"
	// Ordinal is one column: the place of the category, from 0.
	Ordinal = "ordinal"
)

// What a value outside the categories is.
const (
	// FailOnUnknown refuses it.
	FailOnUnknown = "fail"
	// MissingUnknown takes it for no value.
	MissingUnknown = "missing"
)

// Encoding is how a feature's value becomes columns of a request. The training data was made by it too.
type Encoding struct {
	// Kind is OneHot or Ordinal.
	Kind string `json:"kind"`
	// Categories are the values in the order of their columns or places, as text.
	Categories []string `json:"categories"`
	// Unknown is FailOnUnknown or MissingUnknown.
	Unknown string `json:"unknown"`
}

// Width is how many columns of a request the feature is.
func (f Feature) Width() int {
	if f.Encoding != nil && f.Encoding.Kind == OneHot {
		return len(f.Encoding.Categories)
	}
	return 1
}

// Place is the place of a value among the categories, or -1. Trailing spaces don't count, as SQL Server compares.
func (e Encoding) Place(value string) int {
	return slices.Index(e.Categories, strings.TrimRight(value, " "))
}

// Append writes the columns of the category at a place, separated by commas. A place of -1 is no category: 0 in every column of OneHot, and
// the empty field of Ordinal.
func (e Encoding) Append(dst []byte, place int) []byte {
	if e.Kind == Ordinal {
		if place < 0 {
			return dst
		}
		return strconv.AppendInt(dst, int64(place), 10)
	}
	for i := range e.Categories {
		if i > 0 {
			dst = append(dst, ',')
		}
		if i == place {
			dst = append(dst, '1')
		} else {
			dst = append(dst, '0')
		}
	}
	return dst
}
