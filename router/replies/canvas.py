"""The canvas of a reply as it denoises, for those who watch."""

from router.replies.logprobs import token_logprob, top_logprobs
from router.schema.responses import Canvas
from router.workers.model import Model
from textdiffusion.v1 import textdiffusion_pb2 as pb


def canvas_after(update: pb.GenerateUpdate, model: Model, alternatives: int) -> Canvas:
    """What is masked and what is not after the forward pass that `update` tells of."""

    def text(token_id: int) -> str | None:
        if token_id == model.mask_token_id:
            return None
        return model.tokenizer.spelling(token_id)[0]

    return {
        "step": max((token.step for token in update.committed), default=update.finished.usage.forward_passes),
        "tokens": [text(token_id) for token_id in update.canvas.ids],
        "committed": [
            {
                "position": token.position,
                **token_logprob(token, model.tokenizer),
                "top_logprobs": top_logprobs(token, model.tokenizer, alternatives),
            }
            for token in update.committed
        ],
    }
