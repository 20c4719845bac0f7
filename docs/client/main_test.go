package main

import (
	"strings"
	"testing"

	"sagemaker-datapipeline/lambda/signature"
)

func TestRequest(t *testing.T) {
	s := signature.Signature{
		Features: []signature.Feature{
			{Name: "Amount"}, {Name: "DistanceKm", Nullable: true},
			{Name: "Country", Nullable: true, Encoding: &signature.Encoding{Kind: signature.OneHot, Categories: []string{"DE", "FR"}, Unknown: signature.MissingUnknown}},
			{Name: "Level", Encoding: &signature.Encoding{Kind: signature.Ordinal, Categories: []string{"low", "high"}, Unknown: signature.FailOnUnknown}},
			{Name: "CardPresent"},
		},
		Example: "12.50,,0,1,0,1",
	}
	tests := []struct {
		name   string
		values []string
		want   string
		fails  string
	}{
		{name: "without values it is the example", want: "12.50,,0,1,0,1"},
		{name: "values go where their names are", values: []string{"CardPresent=0", "Amount=99"}, want: "99,,0,1,0,0"},
		{name: "a nullable feature may be empty", values: []string{"DistanceKm="}, want: "12.50,,0,1,0,1"},
		{name: "one that isn't may not", values: []string{"Amount="}, fails: "can't be empty"},
		{name: "a name that the model doesn't know is an error", values: []string{"Amuont=1"}, fails: `no feature "Amuont"`},
		{name: "a text is no number", values: []string{"Amount=much"}, fails: "not a number"},
		{name: "a category becomes its columns", values: []string{"Country=DE"}, want: "12.50,,1,0,0,1"},
		{name: "an unknown category is none where the signature says so", values: []string{"Country=XX"}, want: "12.50,,0,0,0,1"},
		{name: "no category is none too", values: []string{"Country="}, want: "12.50,,0,0,0,1"},
		{name: "a category becomes its place", values: []string{"Level=high"}, want: "12.50,,0,1,1,1"},
		{name: "an unknown category is refused where it failed the training's export", values: []string{"Level=middle"}, fails: "none of its categories: low, high"},
		{name: "a value needs a name", values: []string{"12"}, fails: "Feature=value"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := request(s, test.values)
			switch {
			case test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)):
				t.Errorf("error %v, want one with %q", err, test.fails)
			case test.fails == "" && err != nil:
				t.Error(err)
			case strings.Join(got, ",") != test.want:
				t.Errorf("request %q, want %q", got, test.want)
			}
		})
	}
}
