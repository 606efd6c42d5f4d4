"""
Continue a chorale
==================

Train a small model for a few epochs, give it 24 quarter notes of a chorale that it has not seen, and let it go on.
"""

import matplotlib.pyplot as plt
import torch

import linmem
from linmem.data.midi import write_midi
from linmem.music.audio import synthesize, write_wav
from linmem.music.continuation import continue_piece
from linmem.music.sampling import SamplingOptions
from linmem.music.voices import voice_score
from linmem.nn.nade import NADE
from linmem.nn.sequence_model import SequenceModel
from linmem.reporting.figures import piano_roll
from linmem.training.joint_task import JointNextFrame
from linmem.training.options import TrainingOptions

# %%
# The model: an LMN, and a NADE as readout, which models the notes of a chord jointly.

chorales = linmem.data.load("chorales:120:20")
torch.manual_seed(0)
lmn = linmem.LMN(88, 100, 100, nonlinearity="relu", batch_first=True, limit_norms=False)
model = SequenceModel(lmn, NADE(100, 88, 100), input_dropout=0.1, readout_dropout=0.3)
options = TrainingOptions(learning_rate=3e-3, max_epochs=8)
history = linmem.train(model, chorales, JointNextFrame.fast(), options)
print(f"joint NLL on valid after epoch {history.best_epoch}: {history.best.valid_loss:.2f} nats per frame")

# %%
# Four voices; temperature below 1 and nucleus sampling make the choice less random.

prompt = chorales.test[3][:24]
continuation = continue_piece(model.eval(), prompt, 24, SamplingOptions(temperature=0.8, top_p=0.95, voices=4, seed=1))
piece = torch.cat([prompt, continuation])

fig, ax = plt.subplots(figsize=(8, 3.4))
piano_roll(ax, piece, split_at=len(prompt))
ax.grid(False)
plt.show()

# %%
# Listen: the prompt is the first half. `write_midi` writes the same notes for a sequencer.

write_midi(piece, "continuation.mid", tempo=180)
score = voice_score(piece, voices=4)
write_wav(synthesize(score, tempo=180, rate=11_025), "continuation.wav", rate=11_025)

# %%
# Eight epochs on 120 chorales are little. On the command line, `linmem train chorales --model lmn-b --readout nade`
# trains on all of them until the validation loss rises, and `linmem generate RUN` continues any piece or MIDI file.
