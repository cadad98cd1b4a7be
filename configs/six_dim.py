"""Six dimensions, three inputs, an embedding of 384: A's best model (Table 1, last row: 0.8380).

python -m jaxsim.train --config=configs/six_dim.py
    the papers' network and recipe; for accelerators and a large data set (config.data.dir)
python -m jaxsim.train --config=configs/six_dim.py:demo
    the same job for a laptop: a narrow network, the embedded scores, a few minutes of training
python -m jaxsim.train --config=configs/six_dim.py:scores
    the same with more pieces and 2,800 steps
python -m jaxsim.train --config=configs/six_dim.py:music --config.data.dirs="('data/music=3', '=1')"
    recordings beside the scores; the training of the model that comes with jaxsim

A run is written to runs/NAME, named after its configuration; --workdir chooses another folder.
"""

from ml_collections import ConfigDict

VARIANTS = ("paper", "demo", "scores", "music")


def get_config(variant: str = "paper") -> ConfigDict:
    if variant not in VARIANTS:
        raise ValueError(f"configs/six_dim.py:{variant}: expected one of {', '.join(VARIANTS)}")
    config = paper()
    if variant != "paper":
        laptop(config)
    if variant == "demo":
        short_run(config)
    if variant in ("scores", "music"):
        long_run(config)
    if variant == "music":
        recordings(config)
    return config


def paper() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0  # of initialisation, batches and mining
    # A run's directory or an exported model, whose network is trained further; empty = none. Its
    # config.features and the structure in config.model take the place of those below.
    config.start_from = ""
    config.dimensions = ("genre", "mood", "instrument", "era", "tempo", "key")
    config.batch_size = 256  # examples of all devices together; not given in A
    config.num_steps = 400_000  # upper bound; the rate falls on plateaus
    config.steps_per_epoch = 788  # between validations: 201,680 training tracks of the MSD / 256

    config.data = data = ConfigDict()
    data.dir = ""  # a prepared data set; empty = the embedded scores, built on first use
    # Or several, whose tracks share the batches: ("DIR=WEIGHT", ...); an empty DIR = the scores.
    # Every group of similar rows is from one of them, drawn by weight. One that lacks a split adds
    # nothing to it.
    data.dirs = ()
    data.group_size = 2  # rows of a batch that are drawn to be similar in a dimension; even
    # What groups of rows start with: tracks "balanced" over the classes of every dimension, so that
    # rare ones are seen; or "every_track" once in tracks x group_size / batch_size steps (B).
    data.draw = "balanced"
    # Share of each dimension's estimated labels that training leaves out: those with the least
    # confidence. Not in the papers.
    data.unsure = ConfigDict(dict.fromkeys(config.dimensions, 0.0))
    data.read_ahead = 4  # batches
    data.scores = scores = ConfigDict()
    scores.pieces_per_genre = 48
    scores.renderings = 4  # clips of each piece
    scores.seconds = 10.0  # of a clip
    scores.seed = 0

    config.features = features = ConfigDict()
    features.sample_rate = 22050  # Hz
    features.hop_length = 512  # samples between frames: 23.2 ms at 22,050 Hz
    features.n_fft = 1024  # samples in a window of the mel spectrogram
    features.n_mels = 128  # bands
    features.segment_frames = 129  # frames that the network sees at once: 3 s
    features.loudness = "none"  # or "track": every track is brought to one loudness first
    features.silence = "kept"  # or "left_out": at the ends, and pauses of more than a second
    features.tempogram_window = 384  # lags, and frames of the autocorrelation window (A §3.1)
    # Rows by lag, "autocorrelation" (A §3.1), or as many within one octave of tempo, "cyclic".
    features.tempogram = "autocorrelation"
    # By the constants below, or "data": by mean and deviation of the training split.
    features.standardisation = "constants"
    features.standardise = standardise = ConfigDict()  # (mean, deviation) of each input
    standardise.mel = (0.2, 0.25)  # B §4.1
    standardise.tempogram = (0.0, 1.0)  # A: as librosa gives them
    standardise.cens = (0.0, 1.0)

    # What training segments are changed by, on the device; not in the papers.
    config.augmentation = augmentation = ConfigDict()
    # CENS rolled to any of the 12 keys, the key label with it; nothing where CENS is no input.
    augmentation.transpose = False
    # Octaves: the tempogram (where it is an input) up to so much faster or slower, and BPM; see
    # benchmarks/RESULTS.md.
    augmentation.stretch = 0.0
    augmentation.level = 0.0  # dB: up to so much louder or softer
    augmentation.tilt = 0.0  # dB an octave: up to so much brighter or darker
    augmentation.band_limit = 0.0  # share of the segments without the lowest and highest bands
    augmentation.noise = 0.0  # up to so much, relative to the segment's mean magnitude

    config.model = model = ConfigDict()
    model.inputs = ("mel", "tempogram", "cens")  # one input, ("mel",), is B's network
    model.embedding_size = 384  # E = 6 x 64
    model.width = 1.0  # scales all channel counts
    model.trunk_width = 1.0  # scales those of the trunk (for one input: of blocks 3 to 6) further
    model.blocks = 6  # from an input to the embedding
    model.branch_blocks = (
        2  # how many of those each of several inputs has to itself; the rest form the trunk
    )
    model.trunk_start = "mixed"  # of the trunk; or "separate": one network per input at first
    # What a sub-space reads at first in a separate trunk, if the network has it; else all inputs.
    model.first_input = ConfigDict({"tempo": "tempogram", "key": "cens"})
    model.norm = "none"  # after every convolution: "none" (papers) or "batch"
    model.branch_norm = "none"  # of each input's branch before they meet: "none" or "batch"
    model.embedding_norm = "layer"  # A; or "none"
    model.embedding_relu = False  # whether a ReLU comes last (B's released network)
    # Inputs of whose bins the sub-spaces of tags also read mean, deviation and mean change over
    # time, by a dense layer that starts at zero; not in the papers.
    model.statistics = ()
    # Share of the trunk's outputs that training hides from the layer that gives the embedding,
    # drawn for every example, so that it does not rely on a few; not in the papers.
    model.dropout = 0.0
    model.dtype = "bfloat16"  # of the computation; parameters and losses are float32

    config.relation = relation = ConfigDict()
    relation.tempo_tolerance = 5.0  # BPM (A §3.3)
    relation.tempo = "anchor"  # within the tolerance of the anchor's (A); or "symmetric": of either
    relation.key = "parallel"  # similar besides the same key: "parallel" or "relative"
    relation.tags = "any_shared"  # a tag of both (A, C); or "sampled_label": one drawn per step (B)
    relation.unlabelled = "excluded"  # a track without tags; or "negative" (B)

    config.loss = loss = ConfigDict()
    loss.method = "triplet"  # or "proxy" (B §3.2) or "classification" (B §3.3)
    loss.disentangled = True  # every dimension has its own sub-space; False = all share the whole
    loss.normalised = True  # unit embeddings in classification (B Eq. 8); the others always are
    loss.track_weight = 0.0  # of the track regularisation beside the triplets; C: 0.5
    # C's form of it; or "softmax": to find the track among the whole batch, by the whole embedding,
    # or "tag_softmax": by the sub-spaces of tags.
    loss.track = "triplets"
    # Of the divergence between the likenesses in the sub-spaces of tags and a teacher's, whose
    # embeddings `input_pipeline.prepare --estimate=tags` stores; not in the papers.
    loss.soft_weight = 0.0
    # Of the same divergence in each sub-space of tags alone, from what the teacher hears of its own
    # tags (input_pipeline/datasets/musicnn_tags.csv); and the temperature there.
    loss.tag_weight = 0.0
    loss.tag_temperature = 0.2
    # What the teacher hears of a crop: its whole "track", or only the "segment" (where the data set
    # was prepared with --estimate=tags,segments).
    loss.teacher = "track"
    loss.temperature = 0.1  # of these softmaxes, which divides cosines
    # Of log(D / effective rank) of the sub-spaces; not in the papers.
    loss.decorrelation_weight = 0.0
    loss.tempo_classes = 30  # of an octave, for proxies and classification
    loss.weights = ConfigDict(dict.fromkeys(config.dimensions, 1.0))  # in the mean (A Eq. 2)
    loss.distance = "cosine"  # of triplets (B); or "euclidean" of unit embeddings (C)
    loss.margin = 0.1  # a distance (B §4.2)
    loss.band = 0.1  # width of the semi-hard band, a distance (A §3.3)
    # Of each band's negatives the "nearest", one at random ("uniform") or "all" (A §3.3); or "any"
    # one at random, in the band or not (B, C).
    loss.pick = "nearest"
    loss.average = "mined"  # over the mined triplets, or over all "possible" ones

    config.optimiser = optimiser = ConfigDict()  # Adam
    # What it changes: "all", or only the "last" ones, which give the embedding; for a network that
    # hears well already (config.start_from) and few recordings. Or of these the weights for the
    # sub-spaces of "tags": triplets of tempo and key do not count then.
    optimiser.layers = "all"
    optimiser.learning_rate = 1e-5  # A §3.4
    optimiser.warmup_steps = 0
    optimiser.schedule = "plateau"  # or "cosine"
    optimiser.plateau_factor = 5.0  # A §3.4
    optimiser.plateau_patience = 10  # epochs (A §3.4)
    optimiser.plateau_cuts = 0  # after this many, the next plateau ends training (B: 5); 0 = never
    optimiser.minimum_rate = 1e-10  # A §3.4

    config.parallel = ConfigDict()
    config.parallel.mapping = "pmap"  # or "shard_map": the same numbers
    config.parallel.mining_group = 0  # neighbouring devices that mine together; 0 = all of them
    # Whose triplets are mined together; 0 = all of them, but one by one on processors, where that
    # takes as long and less memory.
    config.parallel.dimensions_at_once = 0
    config.parallel.parts = 1  # of a device's batch, embedded one after another to save memory

    config.evaluation = evaluation = ConfigDict()
    evaluation.triplets = 4000  # per dimension, of the validation split: for scores and the loss
    evaluation.batch_size = 64  # segments of all devices together

    config.checkpoint_minutes = 5.0  # between checkpoints; one more at every validation
    config.log_steps = 10  # between rows of the log
    return config


def laptop(config: ConfigDict) -> None:
    """What two cores can do in minutes, with the papers' objective; see benchmarks/RESULTS.md."""
    config.model.width = 0.125  # an eighth of all channels: 1/64 of the arithmetic
    config.model.trunk_width = 4.0  # three narrow inputs need room; costs a tenth of the time
    # Mel drowns out what only the tempogram or CENS carries, unless all branches are equally loud
    # and the trunk learns for itself what to mix.
    config.model.branch_norm = "batch"
    config.model.trunk_start = "separate"
    config.model.dtype = "float32"  # XLA has no fast bfloat16 product on CPUs
    # The papers' network maps the first batches to one point, from which 100 steps of semi-hard
    # triplets move only the instrument dimension; centred embeddings start apart.
    config.model.embedding_norm = "batch_layer"
    standardise = config.features.standardise  # mean and deviation of the training split
    standardise.mel, standardise.tempogram, standardise.cens = (
        (0.13, 0.19),
        (0.19, 0.25),
        (0.2, 0.21),
    )
    config.batch_size = 32  # more steps; every dimension still finds its pairs
    config.loss.pick = "all"  # every negative of the band: the most gradient from a small batch
    config.loss.average = "possible"  # a dimension that has been learned gives way to the others
    config.loss.weights.key = 2.0  # else it may lose the CENS branch to the four kinds of tags
    config.num_steps = 360
    config.steps_per_epoch = 180
    config.optimiser.learning_rate = 2e-3
    config.optimiser.schedule = "cosine"  # for a fixed number of steps
    config.optimiser.warmup_steps = 50
    config.data.scores.pieces_per_genre = 36
    config.checkpoint_minutes = 2.0


def short_run(config: ConfigDict) -> None:
    """As `laptop`, with help for the dimensions that 360 steps are too few for."""
    config.augmentation.transpose = True  # every pair of tracks is heard in all keys
    config.loss.weights.key = 4.0
    config.loss.weights.mood = 2.0
    # At first CENS serves key alone: else the others may claim it before key learns anything.
    first = {"genre": "tempogram", "mood": "mel", "instrument": "mel", "era": "mel"}
    config.model.first_input.update(first)


def long_run(config: ConfigDict) -> None:
    """As `laptop`, for longer and with more pieces."""
    config.num_steps = 2800
    config.steps_per_epoch = 400
    config.data.scores.pieces_per_genre = 48


def recordings(config: ConfigDict) -> None:
    """As `long_run`, for recordings; see jaxsim/exported/models/music.md."""
    config.num_steps = 2000
    config.steps_per_epoch = 500
    config.batch_size = 48
    config.features.loudness = "track"  # recordings differ in level, and some end with silence
    config.features.silence = "left_out"
    config.features.standardisation = "data"
    config.loss.track_weight = 0.5  # C
    config.loss.soft_weight = 0.02  # few labels: what a teacher of tags hears fills the sub-spaces
    config.loss.weights.key = 8.0  # else these two lose the trunk to the teacher
    config.loss.weights.tempo = 2.0
    config.augmentation.transpose = True
    config.augmentation.level = 3.0
    config.augmentation.tilt = 1.0
    config.augmentation.band_limit = 0.15
    config.augmentation.noise = 0.03
