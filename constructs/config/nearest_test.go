package config

import "testing"

func TestNearest(t *testing.T) {
	keys := []string{"account", "region", "availabilityZones", "network", "database", "pipelines", "num_round"}
	for name, test := range map[string]struct{ from, want string }{
		"a letter is missing":               {"acount", "account"},
		"a letter is too many":              {"regionn", "region"},
		"two letters are swapped":           {"pipleines", "pipelines"},
		"the singular":                      {"pipeline", "pipelines"},
		"another case":                      {"AvailabilityZones", "availabilityZones"},
		"hyphens for capitals":              {"availability-zones", "availabilityZones"},
		"no underscore":                     {"numround", "num_round"},
		"something else altogether":         {"colour", ""},
		"nothing":                           {"", ""},
		"letters of more than a byte count": {"régïon", "region"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := nearest(test.from, keys); got != test.want {
				t.Errorf("nearest to %q is %q, want %q", test.from, got, test.want)
			}
		})
	}
}
