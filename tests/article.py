"""Published and independently computed numbers that every engine must reproduce.

What lives here: plain data, no engine. A Case is a network, its data, how it is trained, and the
numbers that belong to it. Sources: the article on forward and backward propagation (its nets A, B
and C) and the works that it cites. Weights are (n_inputs, n_outputs), as in the library; where a
source writes (n_outputs, n_inputs), they are transposed here.
"""

import itertools
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Case:
    """A network with data, and the numbers that are known of it.

    Known numbers; every list has one entry a layer, None stands for "not known":
    z, a (layers 1 ... L), loss, deltas, weight_gradients, bias_gradients at the start;
    losses {t: loss after t updates}; outputs {t: a of the last layer after t updates};
    mean_errors {t: mean |t - a| after t updates}; weights_after {t: list of weights}.
    """

    name: str
    sizes: tuple
    weights: list
    biases: list
    X: np.ndarray
    Y: np.ndarray
    activations: tuple = None  # logistic by default
    loss: str = "squared_error"
    reduction: str = "sum"
    l2: float = 0.0
    learning_rate: float = None
    momentum: float = 0.0
    train_biases: bool = True
    known: dict = field(default_factory=dict)
    output_decimals: int = None  # how many are printed of the outputs; None: all of float64
    penalty: bool = False  # the known loss contains ½ l2 Σ W²
    long: bool = False  # so many updates that NumPy needs seconds: for compiled engines only
    float32_rtol: float = 1e-4  # None: rounding to float32 changes the run beyond recognition

    def __post_init__(self):
        object.__setattr__(self, "X", np.atleast_2d(np.asarray(self.X, dtype=float)))
        object.__setattr__(self, "weights", [np.array(W, dtype=float) for W in self.weights])
        if self.activations is None:
            object.__setattr__(self, "activations", ("sigmoid",) * len(self.weights))

    @property
    def has_biases(self):
        return self.biases[0] is not None

    @property
    def trains(self):
        return self.learning_rate is not None


NO_BIASES = [None, None]
XOR_X = [[0, 0], [0, 1], [1, 0], [1, 1]]
XOR_Y = [0, 1, 1, 0]


# The article's own nets. It prints no numbers: these come from 50-digit arithmetic.

NET_A = {
    "sizes": (1, 2, 1),
    "weights": [[[0.1, 0.2]], [[0.3], [0.4]]],
    "biases": NO_BIASES,
    "X": [1.5],
    "Y": [0.25],
}
NET_A_KNOWN = {
    "z": [[[0.15, 0.3]], [[0.39100596032778845969]]],
    "a": [[[0.53742984534374954945, 0.57444251681165898715]], [[0.59652484029281018888]]],
    "loss": 0.060039732469978803895,
    "weight_gradients": [
        [[0.0093302141112770277246, 0.012233078588896302725]],
        [[0.044823058572767365223], [0.047910012443145667678]],
    ],
}
# (L(w1 + step) - L(w1)) / step: it tends to the derivative as the step shrinks.
NET_A_SECANTS = {
    1.0: 0.007704976482246585,
    0.1: 0.009286485577348,
    0.01: 0.009327416512515396,
    0.001: 0.009329950233720463,
}

NETS = [
    Case(
        "net A, rate 0.5",
        **NET_A,
        learning_rate=0.5,
        known=NET_A_KNOWN
        | {
            "losses": {1: 0.05779244815573567, 10: 0.041217290877277324, 100: 0.0013575510309936562}
        },
    ),
    Case(
        "net A, rate 1",
        **NET_A,
        learning_rate=1.0,
        known={
            "losses": {
                1: 0.055592275073879684,
                10: 0.028335613238939884,
                100: 3.4357047718180884e-05,
            }
        },
    ),
    # One more input; w5 and w6 lead from it.
    Case(
        "net B",
        (2, 2, 1),
        [[[0.1, 0.2], [0.5, 0.6]], [[0.3], [0.4]]],
        NO_BIASES,
        X=[1.5, -2.0],
        Y=[0.25],
        known={
            "z": [[[-0.85, -0.9]], [[0.20545005620780652958]]],
            "a": [[[0.2994328575260270499, 0.28905049737499603654]], [[0.55118260692817327569]]],
            "loss": 0.045355481358025264423,
            "deltas": [
                [[0.0046888414273108206576, 0.0061244562770039774253]],
                [[0.074506655929273325904]],
            ],
            "weight_gradients": [
                [
                    [0.0070332621409662309865, 0.0091866844155059661379],
                    [-0.0093776828546216413153, -0.012248912554007954851],
                ],
                [[0.022309740889610818326], [0.021536185954104152371]],
            ],
        },
    ),
    # One more output; w7 and w8 lead to it.
    Case(
        "net C",
        (2, 2, 2),
        [[[0.1, 0.2], [0.5, 0.6]], [[0.3, 0.7], [0.4, 0.8]]],
        NO_BIASES,
        X=[1.5, -2.0],
        Y=[[0.25, 0.75]],
        known={
            "z": [[[-0.85, -0.9]], [[0.20545005620780652958, 0.44084339816821576416]]],
            "a": [
                [[0.2994328575260270499, 0.28905049737499603654]],
                [[0.55118260692817327569, 0.6084599772876470486]],
            ],
            "loss": 0.055372270372731959089,
            "deltas": [
                [[-0.00026263480667254354519, 0.00058088159989517908507]],
                [[0.074506655929273325904, -0.033719990183980006844]],
            ],
            "weight_gradients": [
                [
                    [-0.00039395221000881531779, 0.0008713223998427686276],
                    [0.00052526961334508709038, -0.0011617631997903581701],
                ],
                [
                    [0.022309740889610818326, -0.010096873016538716039],
                    [0.021536185954104152371, -0.0097467799341594050873],
                ],
            ],
        },
    ),
]
# dL/dw5 of net C is the sum over its two paths, through y1 and through y2.
NET_C_PATHS = (-0.009377682854621643, 0.009902952467966724)


# Rumelhart, Hinton & Williams, Nature 323 (1986), fig. 1, and the same authors' chapter 8 of
# Parallel Distributed Processing, vol. 1 (1986), figs. 3, 5 and 9: weights learned by the authors.

SYMMETRY_X = np.array([[k >> i & 1 for i in range(6)] for k in range(64)], dtype=float)
SYMMETRY_Y = (SYMMETRY_X == SYMMETRY_X[:, ::-1]).all(axis=1).astype(float)


def _fig3():
    """The XOR net of fig. 3 has direct connections from the inputs to the output, weight -4.2.

    An input x is 0 or 1, so it is affine in σ(x): two more hidden units with weight 1 from one
    input each carry it, and the output sees the same sum.
    """
    low, high = 0.5, 1 / (1 + np.exp(-1.0))
    direct = -4.2 / (high - low)
    return {
        "weights": [[[-6.4, 1, 0], [-6.4, 0, 1]], [[-9.4], [direct], [direct]]],
        "biases": [[2.2, 0, 0], [6.3 - 2 * direct * low]],
    }


FIG_1 = Case(
    "symmetry, fig. 1 of 1986",
    (6, 2, 1),
    [
        np.transpose([[14.2, -3.6, 7.2, -7.2, 3.6, -14.2], [-14.2, 3.6, -7.1, 7.1, -3.6, 14.2]]),
        [[-8.8], [-8.8]],
    ],
    [[-1.1, -1.1], [6.4]],
    SYMMETRY_X,
    SYMMETRY_Y,
    known={"loss": 0.34640486830085276},
)
FIG_1_SYMMETRIC_OUTPUT = 0.881276886495544
FIG_1_LARGEST_OTHER = 0.15634298718412568
FIG_9 = Case(
    "symmetry, PDP fig. 9",
    (6, 2, 1),
    [
        np.transpose(
            [[-3.18, 6.32, -12.56, 12.56, -6.33, 3.17], [3.16, -6.34, 12.52, -12.51, 6.31, -3.17]]
        ),
        [[-9.44], [-9.44]],
    ],
    [[-1.0, -1.0], [6.89]],
    SYMMETRY_X,
    SYMMETRY_Y,
)
FIG_3 = Case(
    "XOR, PDP fig. 3",
    (2, 3, 1),
    **_fig3(),
    X=XOR_X,
    Y=XOR_Y,
    output_decimals=10,
    known={"outputs": {0: [0.1031832142, 0.8766545546, 0.8766545546, 0.1090740598]}},
)
FIG_5 = Case(
    "XOR's local minimum, PDP fig. 5",
    (2, 2, 1),
    [[[-2.0, 4.3], [9.2, 8.8]], [[-4.5], [5.3]]],
    [[2.0, -0.1], [-0.8]],
    XOR_X,
    XOR_Y,
    known={"loss": 0.2599717711526942},
)
FIG_5_OUTPUTS = [0.0957, 0.4998, 0.8977, 0.5001]  # four decimals are printed
FIG_5_GRADIENT_NORM = 0.0171
FIGURES = [FIG_1, FIG_3, FIG_5, FIG_9]


# Golden trajectories: no random numbers, parameters c sin(1), c sin(2), ... layer by layer, each
# layer's W (n_outputs, n_inputs) row by row, then b. Loss ½ Σ over all cases before each update.


def _sine(sizes, c):
    k, weights, biases = 1, [], []
    for n_in, n_out in itertools.pairwise(sizes):
        weights.append((c * np.sin(np.arange(k, k + n_in * n_out))).reshape(n_out, n_in).T)
        biases.append(c * np.sin(np.arange(k + n_in * n_out, k + n_in * n_out + n_out)))
        k += n_in * n_out + n_out
    return {"sizes": sizes, "weights": weights, "biases": biases}


GOLDEN = [
    Case(
        "symmetry",
        **_sine((6, 2, 1), 0.3),
        X=SYMMETRY_X,
        Y=SYMMETRY_Y,
        learning_rate=0.1,
        momentum=0.9,
        known={
            "losses": {
                0: 6.706292275610427,
                1: 4.099023481073406,
                2: 3.5066807832373916,
                3: 3.6765158945070144,
                10: 3.988076244578693,
                100: 3.9988016790303287,
                1000: 3.300350515966783,
                2000: 3.200934185350528,
                3000: 0.024441404725569403,
                5000: 0.0025315931398111353,
            }
        },
    ),
    Case(
        "XOR",
        **_sine((2, 2, 1), 0.5),
        X=XOR_X,
        Y=XOR_Y,
        learning_rate=0.5,
        momentum=0.9,
        known={
            "losses": {
                0: 0.5396504500716156,
                1: 0.5282698292467665,
                2: 0.5125665431669585,
                3: 0.5017088170332835,
                10: 0.5026745139880904,
                100: 0.4994318592037401,
                500: 0.0018524424830454115,
                1000: 0.0006521404561119712,
            }
        },
    ),
    Case(
        "XOR, stuck",
        **_sine((2, 2, 1), 2.0),
        X=XOR_X,
        Y=XOR_Y,
        learning_rate=0.5,
        momentum=0.9,
        known={"losses": {0: 0.7808931940568413, 1000: 0.25081606758940234}},
    ),
    Case(
        "encoder",
        **_sine((8, 3, 8), 0.5),
        X=np.eye(8),
        Y=np.eye(8),
        learning_rate=1.0,
        known={
            "losses": {
                0: 8.59322881254053,
                1: 3.6642332957862602,
                2: 3.543883035705501,
                3: 3.507923191513803,
                10: 3.4568720982715453,
                100: 2.009013270738488,
                1000: 0.095470296525043,
                3000: 0.020595140166988855,
            }
        },
    ),
]
XOR_STUCK_OUTPUTS = [0.0203, 0.4994, 0.985, 0.5004]  # after 1000 updates


# Mazur, A Step by Step Backpropagation Example: biases never updated. The weights and first steps
# are his; his later numbers mix simultaneous updates with an output layer updated first, so the
# later ones here are those of simultaneous updates, computed independently.

MAZUR = {
    "sizes": (2, 2, 2),
    "weights": [[[0.15, 0.25], [0.20, 0.30]], [[0.40, 0.50], [0.45, 0.55]]],
    "biases": [[0.35, 0.35], [0.60, 0.60]],
    "X": [0.05, 0.10],
    "Y": [[0.01, 0.99]],
    "learning_rate": 0.5,
}
MAZUR_CASES = [
    Case(
        "Mazur",
        **MAZUR,
        train_biases=False,
        known={
            "z": [[[0.3775, 0.3925]], [[1.10590596705977, 1.2249214040964653]]],
            "a": [
                [[0.5932699921071872, 0.596884378259767]],
                [[0.7513650695523157, 0.7729284653214625]],
            ],
            "loss": 0.2983711087600027,
            "deltas": [
                [[0.00877135468948693, 0.009954254705217196]],
                [[0.13849856162855695, -0.038098236516556236]],
            ],
            "weight_gradients": [
                [
                    [0.0004385677344743465, 0.0004977127352608599],
                    [0.000877135468948693, 0.0009954254705217198],
                ],
                [
                    [0.08216704056423077, -0.02260254047747507],
                    [0.08266762784753325, -0.022740242215978222],
                ],
            ],
            "weights_after": {
                1: [
                    [
                        [0.1497807161327628, 0.24975114363236958],
                        [0.19956143226552567, 0.29950228726473915],
                    ],
                    [
                        [0.35891647971788465, 0.5113012702387375],
                        [0.4086661860762334, 0.5613701211079891],
                    ],
                ],
                10000: [
                    [
                        [0.3785099883501318, 0.47730070568478583],
                        [0.6570199767002626, 0.754601411369569],
                    ],
                    [
                        [-3.8929771988657236, 2.861810948620059],
                        [-3.868416687703616, 2.9256889667716157],
                    ],
                ],
            },
            "outputs": {10000: [[0.01591362044355068, 0.9840642735146238]]},
            "losses": {
                1: 0.29102777369359933,
                2: 0.28354713312241997,
                5: 0.2604343927553956,
                10: 0.22091859205390402,
                100: 0.0200468282494252,
                1000: 0.001114349453733746,
                9999: 3.510854812251261e-05,
                10000: 3.510187782978859e-05,
            },
        },
    ),
    Case(
        "Mazur, biases trained",
        **MAZUR,
        known={"losses": {1: 0.28047144679143016, 10000: 2.4475622359322627e-06}},
    ),
]


# iamtrask, A Neural Network in 11 lines of Python, parts 1 and 2. The gradient is summed over the
# four samples; weights come from NumPy's legacy generator, seed 1.


def _trask(*sizes):
    random = np.random.RandomState(1)
    weights = [2 * random.random_sample(shape) - 1 for shape in itertools.pairwise(sizes)]
    return {"sizes": sizes, "weights": weights, "biases": [None] * len(weights)}


TRASK_X = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
TRASK_FIRST_WEIGHTS = [[-0.165955990594852], [0.4406489868843162], [-0.9997712503653102]]


def _trask_part_2(n_hidden, rate, error, float32_rtol=1e-3):
    return Case(
        f"Trask part 2, {n_hidden} hidden, rate {rate:g}",
        **_trask(3, n_hidden, 1),
        X=TRASK_X,
        Y=XOR_Y,
        learning_rate=rate,
        long=True,
        float32_rtol=float32_rtol,
        known={"mean_errors": {50000: error}},
    )


TRASK = [
    Case(
        "Trask, two layers",
        **_trask(3, 1),
        X=TRASK_X,
        Y=[0, 0, 1, 1],
        learning_rate=1.0,
        known={
            "weights_after": {
                10000: [[[9.672993027736892], [-0.20784349926631968], [-4.62963668773159]]]
            },
            "outputs": {
                9999: [
                    0.0096644916879683,
                    0.007865059671309264,
                    0.9935889804970555,
                    0.992119573219358,
                ]
            },
        },
    ),
    Case(
        "Trask, three layers",
        **_trask(3, 4, 1),
        X=TRASK_X,
        Y=XOR_Y,
        learning_rate=1.0,
        output_decimals=10,
        known={
            "mean_errors": {
                0: 0.4964100319027255,
                10000: 0.008584525653247157,
                20000: 0.005789459862507806,
                30000: 0.004629176776769985,
                40000: 0.003958765280273649,
                50000: 0.0035101225678616788,
            },
            "outputs": {59999: [0.0026057246, 0.9967220869, 0.9970171079, 0.0038675931]},
        },
    ),
    _trask_part_2(4, 0.001, 0.4859778578461583),
    _trask_part_2(4, 0.01, 0.09859642980892719),
    _trask_part_2(4, 0.1, 0.013014490538142583),
    _trask_part_2(4, 10.0, 0.0013127406283356758),
    _trask_part_2(4, 100.0, 0.1252063527608952, float32_rtol=None),
    _trask_part_2(4, 1000.0, 0.5),
    _trask_part_2(32, 0.001, 0.458029258565275),
    _trask_part_2(32, 0.01, 0.052965808702569714),
    _trask_part_2(32, 0.1, 0.01084216697377743),
    _trask_part_2(32, 1.0, 0.002996256849322484),
    _trask_part_2(32, 100.0, 0.5),
]


# Nielsen, Neural Networks and Deep Learning, ch. 3: one neuron that learns to answer 0 to 1.


def _toy(w, b, loss, rate, before, after, **more):
    return Case(
        f"Nielsen's neuron, {loss}, w = {w}",
        (1, 1),
        [[[w]]],
        [[b]],
        X=[1.0],
        Y=[0.0],
        loss=loss,
        learning_rate=rate,
        known=dict(outputs={0: [before], 300: [after]}, **more),
    )


NIELSEN = [
    _toy(
        0.6,
        0.9,
        "squared_error",
        0.15,
        0.8175744761936437,
        0.09395569486364724,
        weights_after={300: [[[-1.2831324334215497]]]},
    ),
    _toy(2.0, 2.0, "squared_error", 0.15, 0.9820137900379085, 0.2028484242677765),
    _toy(0.6, 0.9, "binary_cross_entropy", 0.005, 0.8175744761936437, 0.4176792995988869),
    _toy(2.0, 2.0, "binary_cross_entropy", 0.005, 0.9820137900379085, 0.7795870642061684),
]


# Ng's Machine Learning, exercise 4: its cases without data. J is the mean cross-entropy plus
# λ/2m Σ W², so that l2 = λ/m. His Θ is (n_outputs, 1 + n_inputs), the bias first, and written
# column by column.


def _octave(values, rows):
    """The matrix with this number of rows whose columns, one after another, are the values."""
    return np.reshape(values, (rows, -1), order="F")


def _ng(thetas, X, labels, n_classes, lambda_, known, **more):
    return dict(
        sizes=(X.shape[1], len(thetas[0]), n_classes),
        weights=[theta[:, 1:].T for theta in thetas],
        biases=[theta[:, 0] for theta in thetas],
        X=X,
        Y=np.eye(n_classes)[np.array(labels) - 1],
        loss="binary_cross_entropy",
        reduction="mean",
        l2=lambda_ / len(X),
        penalty=True,
        known=known,
        **more,
    )


NG_SMALL = {
    "thetas": [_octave(np.arange(1, 7) / 10, 2), _octave(np.arange(7, 19) / 10, 4)],
    "X": np.cos([[1, 2], [3, 4], [5, 6]]),
    "labels": [4, 2, 3],
    "n_classes": 4,
}
NG_CHECK = {
    "thetas": [
        _octave(np.sin(np.arange(1, 21)) / 10, 5),
        _octave(np.sin(np.arange(1, 19)) / 10, 3),
    ],
    "X": _octave(np.sin(np.arange(1, 16)) / 10, 5),
    "labels": [2, 3, 1, 2, 3],
    "n_classes": 3,
}
# The published gradient, ten decimals, in the order of Θ1 and Θ2 column by column.
NG_GRADIENT = [
    0.7661383696,
    0.979896866,
    -0.0275396159,
    -0.035844209,
    -0.0249287827,
    -0.053861694,
    0.8834172077,
    0.5687623449,
    0.5846676621,
    0.598139237,
    0.4593135493,
    0.3446181825,
    0.2563133312,
    0.3118850629,
    0.4783366232,
    0.3689204067,
    0.2597706219,
    0.3223308891,
]
NG_CHECK_GRADIENT = [-0.009278252358, 0.008899119596]
NG = [
    Case("Ng, λ = 0", **_ng(**NG_SMALL, lambda_=0, known={"loss": 7.406969856065749})),
    Case("Ng, λ = 3", **_ng(**NG_SMALL, lambda_=3, known={"loss": 16.45696985606575})),
    Case("Ng, λ = 4", **_ng(**NG_SMALL, lambda_=4, known={"loss": 19.473636522732416})),
    Case("Ng's check, λ = 0", **_ng(**NG_CHECK, lambda_=0, known={"loss": 2.100950569902465})),
    Case("Ng's check, λ = 3", **_ng(**NG_CHECK, lambda_=3, known={"loss": 2.146359815024358})),
]

CASES = NETS + FIGURES + GOLDEN + MAZUR_CASES + TRASK + NIELSEN + NG
