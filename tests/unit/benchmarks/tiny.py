from worker.models.llada import LladaConfig

NETWORK = LladaConfig(
    d_model=64,
    n_layers=2,
    n_heads=4,
    n_kv_heads=4,
    mlp_hidden_size=96,
    vocab_size=512,
    embedding_size=512,
    max_sequence_length=128,
)
