"""What the documentation of both estimators has in common."""

from __future__ import annotations

from textwrap import indent

NETWORK = """\
hidden_layer_sizes : int or array-like of int, default=(100,)
    Neurons of each hidden layer.
activation : str or list of str, default='relu'
    Of the hidden layers: 'identity', 'logistic', 'tanh' or 'relu', and beyond scikit-learn 'leaky_relu', 'elu',
    'selu', 'gelu', 'silu', 'mish', 'softplus' or 'hardtanh'. A list has one for each hidden layer.
solver : {'lbfgs', 'sgd', 'adam', 'adamw'}, default='adam'
    'lbfgs' is SciPy's L-BFGS-B on all rows at once, good for small data; the others train in batches. 'adamw' is
    Adam with decoupled weight decay, in PyTorch's form, and not in scikit-learn.
alpha : float, default=0.0001
    Strength of the L2 penalty: alpha / 2 times the sum of the squares of all `coefs_` is divided by the rows of the
    batch (with weights: by their sum) and added to the loss, with every solver.
batch_size : int or 'auto', default='auto'
    Rows of a batch; 'auto' is min(200, rows).
learning_rate : {'constant', 'invscaling', 'adaptive'}, default='constant'
    For 'sgd'. 'invscaling' is learning_rate_init / (t_ + 1)**power_t after each epoch; 'adaptive' divides by 5 where
    the training would end for lack of progress, until it is 1e-6.
learning_rate_init : float, default=0.001
power_t : float, default=0.5
    The exponent of 'invscaling'.
max_iter : int, default=200
    Most epochs; with 'lbfgs' most iterations.
shuffle : bool, default=True
    Whether each epoch takes the rows in another order.
random_state : int, RandomState instance or None, default=None
    Initial weights, the split of early stopping, the orders of the rows, in this sequence as in scikit-learn.
tol : float, default=1e-4
    An epoch is better if the loss (with early stopping: the score) is, by more than this. For 'lbfgs' the largest
    element of the gradient at which it stops.
verbose : bool, default=False
    Whether to print a line an epoch.
warm_start : bool, default=False
    Whether `fit` goes on from the weights of the fit before.
momentum : float, default=0.9
    In [0, 1], for 'sgd'.
nesterovs_momentum : bool, default=True
early_stopping : bool, default=False
    Whether to hold back `validation_fraction` of the rows and to stop when their score gets no better; the weights
    with the best score are kept. As in scikit-learn, a warm start without a better score than those before keeps its
    last weights.
validation_fraction : float, default=0.1
beta_1, beta_2 : float, default=0.9 and 0.999
    In [0, 1), for 'adam' and 'adamw'.
epsilon : float, default=1e-8
    For 'adam' and 'adamw'.
n_iter_no_change : int, default=10
    The training ends after more epochs than this without a better one.
max_fun : int, default=15000
    Most evaluations of the loss, for 'lbfgs'.
"""

EXTRAS = """\
dropout : float or array-like of float, default=0.0
    Probability with which outputs of the hidden layers are zeroed in training; one for all or one for each.
batch_norm : bool, default=False
    Whether the hidden layers normalise their batch before the activation.
weight_decay : float, default=0.01
    Of 'adamw'.
dtype : {'float32', 'float64'} or None, default=None
    What to train and predict in. None keeps float32 data in float32, and makes float64 of all else.
n_threads : int or None, default=None
    Threads to use in training and prediction; None leaves fastnn's setting.
callbacks : list or None, default=None
    `fastnn.callbacks`, whose `on_train_begin`, `on_epoch_begin`, `on_epoch_end` and `on_train_end` get the estimator,
    or functions that get the record of each epoch: a dict with 'epoch', 'loss', 'lr', 'seconds' and the validation
    score, if there is one, as '{score}'. Setting `estimator.stop_training = True` ends the training.
progress : bool, default=False
    Whether to show a progress bar on the standard error stream.
"""

ATTRIBUTES = """\
coefs_, intercepts_ : list of ndarray, shapes (n_in, n_out) and (n_out,)
    Weights and biases of the layers. They are the network's own: what is written to them counts.
loss_, best_loss_ : float
    The loss of the last epoch, and the least; `best_loss_` is None with early stopping.
loss_curve_ : list of float
    The loss of each epoch, the mean over its batches, each before its step.
validation_scores_, best_validation_score_ : list of float and float, or None
    With early stopping.
t_ : int
    Rows that were trained on, over all epochs.
n_iter_ : int
    Epochs, or iterations of lbfgs, of the last fit.
n_features_in_ : int
feature_names_in_ : ndarray of str, shape (n_features_in_,)
    Where X had names for its columns.
n_layers_, n_outputs_ : int
    Layers including input and output; neurons of the output.
out_activation_ : str
    {out_activations}.
batch_norms_ : list of BatchNorm1d
    With `batch_norm`.
model : Sequential
    The network itself, before the activation of the output: for `fastnn.save` and the like.
"""


def documented(text: str, score: str, out_activations: str) -> str:
    """A class's documentation with the common parts, each at the indentation of its place."""
    parts = {
        "NETWORK": NETWORK,
        "EXTRAS": EXTRAS.replace("{score}", score),
        "ATTRIBUTES": ATTRIBUTES.replace("{out_activations}", out_activations),
    }
    lines = []
    for line in text.splitlines():
        part = parts.get(line.strip())
        lines.append(line if part is None else indent(part, line[: len(line) - len(line.lstrip())]).rstrip())
    return "\n".join(lines)
