"""A sentence-embedding model: transformers' class on a padded batch, pooled as its folder says.

Legend: B texts, T tokens of the longest, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from modiste.errors import InvalidInput
from modiste.nn import encoder_files


class Encoder:
    def __init__(self, folder: Path) -> None:
        """
        Raises:
            InvalidInput: the folder holds no encoder that is computed here.
        """
        from transformers import AutoModel

        self.info = encoder_files.read(folder)
        try:
            self._model = AutoModel.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True
            ).eval()
        except (OSError, ValueError, KeyError) as error:
            raise InvalidInput(f"{folder} cannot be loaded: {error}") from error

    @torch.inference_mode()
    def __call__(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """(B, D). Padding is masked everywhere, so a text's company changes rounding only."""
        longest = max(len(ids) for ids in texts)
        ids_BT = torch.zeros(len(texts), longest, dtype=torch.long)
        if (padding := self._model.config.pad_token_id) is not None:
            ids_BT.fill_(padding)
        mask_BT = torch.zeros_like(ids_BT)
        for row, ids in enumerate(texts):
            ids_BT[row, : len(ids)] = torch.tensor(ids)
            mask_BT[row, : len(ids)] = 1
        states_BTD = self._model(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        pooled_BD = _pooled(states_BTD, mask_BT, self.info.pooling)
        if not self.info.normalises:
            return pooled_BD
        return torch.nn.functional.normalize(pooled_BD, dim=-1)


def _pooled(states_BTD: Tensor, mask_BT: Tensor, mode: str) -> Tensor:
    if mode == "cls":
        return states_BTD[:, 0]
    if mode == "lasttoken":
        return states_BTD[torch.arange(len(mask_BT)), mask_BT.sum(1) - 1]
    mask_BT1 = mask_BT.unsqueeze(-1)
    if mode == "max":
        return states_BTD.masked_fill(mask_BT1 == 0, -torch.inf).amax(1)
    return (states_BTD * mask_BT1).sum(1) / mask_BT1.sum(1)
