package autoround

import "github.com/libautoround/libautoround/bindings/go/internal/swig"

// Calibration holds token windows to calibrate or measure on. Everything is copied in.
type Calibration struct{ h *handle[swig.Calibration] }

// NewCalibration makes windows of sequenceLength tokens: shorter samples are padded and masked, longer ones cut.
func NewCalibration(sequenceLength int) (*Calibration, error) {
	raw := swig.NewCalibration()
	if err := raw.Create(int64(sequenceLength)); err != nil {
		swig.DeleteCalibration(raw)
		return nil, wrap(err)
	}
	c := &Calibration{}
	c.h = own(c, raw, swig.DeleteCalibration)
	return c, nil
}

// SetTokenizer takes the path of a tokenizer.json; the chat template beside it is used when there. Needed for text, not for ids.
func (c *Calibration) SetTokenizer(path string) error {
	return do(c.h, "calibration", func(raw swig.Calibration) error { return raw.SetTokenizer(path) })
}

// AddTokens adds one sample of token ids.
func (c *Calibration) AddTokens(ids []int64) error {
	return do(c.h, "calibration", func(raw swig.Calibration) error { return raw.AddTokens(ids) })
}

// AddText adds one sample of text; the tokenizer's special tokens are added.
func (c *Calibration) AddText(text string) error {
	return do(c.h, "calibration", func(raw swig.Calibration) error { return raw.AddText(text) })
}

// AddWindows cuts a long text into at most limit consecutive windows, 0: all, and says how many. A last partial window is padded,
// or dropped with dropLast.
func (c *Calibration) AddWindows(text string, limit int, dropLast bool) (int, error) {
	return c.add(func(raw swig.Calibration, added swig.NumberOut) error {
		return raw.AddWindows(text, int64(limit), dropLast, added)
	})
}

// AddJSONL adds at most limit samples of a file of lines or of a JSON array, 0: all, and says how many. field is "text", "messages",
// "input_ids" or "": the first of these that a sample has.
func (c *Calibration) AddJSONL(path, field string, limit int) (int, error) {
	return c.add(func(raw swig.Calibration, added swig.NumberOut) error {
		return raw.AddJsonl(path, field, int64(limit), added)
	})
}

// AddFile adds a file of either kind, told apart by its content.
func (c *Calibration) AddFile(path string, limit int, dropLast bool) (int, error) {
	return c.add(func(raw swig.Calibration, added swig.NumberOut) error {
		return raw.AddFile(path, int64(limit), dropLast, added)
	})
}

func (c *Calibration) add(call func(swig.Calibration, swig.NumberOut) error) (int, error) {
	added := swig.NewNumberOut()
	defer swig.DeleteNumberOut(added)
	err := do(c.h, "calibration", func(raw swig.Calibration) error { return call(raw, added) })
	return int(added.Integer()), err
}

// Samples is the number of windows.
func (c *Calibration) Samples() int { return int(get(c.h, swig.Calibration.SampleCount)) }

// Tokens counts without padding.
func (c *Calibration) Tokens() int64 { return get(c.h, swig.Calibration.TokenCount) }

// SequenceLength is that of [NewCalibration].
func (c *Calibration) SequenceLength() int { return int(get(c.h, swig.Calibration.SequenceLength)) }

// Close frees the windows. It never fails.
func (c *Calibration) Close() error {
	c.h.close()
	return nil
}
