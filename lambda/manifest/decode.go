package manifest

import (
	"encoding/json"
	"errors"
	"fmt"

	"sagemaker-datapipeline/lambda/run"
)

// Decode reads a manifest that a run committed. Fields that it doesn't know are ignored, another version is refused.
func Decode(b []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, fmt.Errorf("decoding the manifest: %w", err)
	}
	if m.Version != Version {
		return Manifest{}, fmt.Errorf("the manifest has version %d, this code reads version %d: deploy the pipeline again", m.Version, Version)
	}
	if _, err := run.ParseID(string(m.Run)); err != nil {
		return Manifest{}, fmt.Errorf("decoding the manifest: %w", err)
	}
	switch {
	case m.Pipeline == "":
		return Manifest{}, errors.New("the manifest names no pipeline")
	case m.SpecSHA256 == "":
		return Manifest{}, errors.New("the manifest doesn't say which spec wrote it")
	case m.Plan.Key == "" || m.Plan.ETag == "":
		return Manifest{}, errors.New("the manifest doesn't name the plan that it was read by")
	case m.Generation < 1:
		return Manifest{}, errors.New("the manifest names no generation")
	case m.Attempt == "":
		return Manifest{}, errors.New("the manifest doesn't name its attempt")
	case m.Rows <= 0 || len(m.Files) == 0:
		return Manifest{}, errors.New("the manifest names no rows")
	case len(m.Channels) > 0 && (m.Channels[Train].Manifest.Key == "" || m.Signature == nil):
		return Manifest{}, errors.New("the manifest has channels, but none to train on or no signature")
	}
	return m, nil
}
