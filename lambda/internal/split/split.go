// Package split deals rows to the training channels: by a keyed hash of their key, or by time at two fixed moments. Either way a row is in the
// same channel in every run, whatever the order of the rows and whatever else they hold.
package split

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Channels are the channels in the order of their places on the scale from 0 to 1.
var Channels = [...]string{manifest.Train, manifest.Validation, manifest.Test}

// Dealer deals rows by their key. It is for one goroutine.
type Dealer struct {
	mac hash.Hash
	// up is the upper end of each channel's place on the scale; the last channel with a share takes all that is above.
	shares [len(Channels)]float64
	up     [len(Channels)]uint64
	last   int
	sum    [sha256.Size]byte
}

// New makes the dealer of a split by key.
func New(s pipeline.Split) (*Dealer, error) {
	d := &Dealer{mac: hmac.New(sha256.New, []byte(s.Salt)), shares: [...]float64{s.Train, s.Validation, s.Test}}
	total := 0.0
	for i, share := range d.shares {
		if !(share >= 0 && share <= 1) {
			return nil, fmt.Errorf("dataset.split.%s is %v: a share is from 0 to 1", Channels[i], share)
		}
		total += share
		if share > 0 {
			d.last = i
		}
		// Shares are rounded to parts of 2^32, so that no rounding of floats on another machine moves a row.
		d.up[i] = math.MaxUint64
		if end := math.Round(total * (1 << 32)); end < 1<<32 {
			d.up[i] = uint64(end) << 32
		}
	}
	if math.Abs(total-1) > 1e-9 {
		return nil, fmt.Errorf("the shares of dataset.split add up to %v, not 1", total)
	}
	if s.Train == 0 {
		return nil, errors.New("dataset.split.train is 0: nothing would be left to train on")
	}
	return d, nil
}

// Deal gives the place in Channels of the row with this key: the first eight bytes of HMAC-SHA256(salt, key), read as a
// big-endian fraction of 1, and where that falls among the shares.
func (d *Dealer) Deal(key []byte) int {
	d.mac.Reset()
	d.mac.Write(key)
	at := binary.BigEndian.Uint64(d.mac.Sum(d.sum[:0]))
	for i := range d.last {
		if at < d.up[i] {
			return i
		}
	}
	return d.last
}
